"""What splitkit wrote, it may replace. Anything else stays where it is, whatever the command."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

from splitkit.bundle.bundle import MANIFEST, MANIFEST_BYTES
from splitkit.bundle.signing import SIGNATURE
from splitkit.errors import BundleError, ConfigError
from splitkit.inside import names_below, open_inside, read_inside, sha256_inside
from splitkit.reading import parse_json

HEAD_BYTES = 1 << 12


def require_own_bundle(directory: Path) -> None:
    """Make sure that nothing is lost when `directory` is replaced: it does not exist, is empty, or is a bundle just as
    `splitkit export` left it, of this version or an older one.

    Raises:
        BundleError: something else is there; the message names it. Or its name is not UTF-8, as compilers want paths.
    """
    try:
        os.fsencode(directory).decode()
    except UnicodeDecodeError as error:
        raise BundleError(f"{str(directory)!r}: is not UTF-8, which compilers need", "choose another name") from error
    if not os.path.lexists(directory):
        return
    if directory.is_symlink() or not directory.is_dir():
        raise _kept(directory, "exists and is not a directory")
    if not any(directory.iterdir()):
        return
    try:
        listed = _listed(read_inside(directory, MANIFEST, MANIFEST_BYTES))
    except (BundleError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise _kept(directory, "exists and is not a bundle that splitkit wrote") from error
    for name in names_below(directory):
        if name not in listed and name not in (MANIFEST, SIGNATURE):
            raise _kept(directory / name, "is no part of the bundle there")
    for name, (size_bytes, sha256) in listed.items():
        try:
            unchanged = not os.path.lexists(directory / name) or sha256_inside(directory, name, size_bytes) == sha256
        except BundleError:
            unchanged = False
        if not unchanged:
            raise _kept(directory / name, "was changed since splitkit wrote it")


def require_own_file(path: Path, begins: Callable[[bytes], bool]) -> None:
    """Make sure that nothing is lost when the file `path` is replaced: it does not exist, is empty, or is splitkit's.

    Args:
        begins: whether a file that splitkit wrote can begin with these bytes, a few thousand at most.

    Raises:
        ConfigError: something else is there.
    """
    if not os.path.lexists(path):
        return
    try:
        with open_inside(path.parent, path.name) as file:
            head = file.read(HEAD_BYTES)
    except (BundleError, OSError):
        head = b"?"
    if head and not begins(head):
        raise ConfigError(f"{path}: exists, and splitkit did not write it", "nothing was touched: choose another name")


def _listed(manifest: bytes) -> dict[str, tuple[int, str]]:
    """Size and SHA-256 of every file that a manifest lists, as splitkit wrote it.

    Raises:
        ValueError, LookupError, TypeError, AttributeError: it did not, or somebody changed it.
    """
    body = parse_json(manifest.decode())
    seal = "checksum" if "checksum" in body else "id"
    stated = body.pop(seal)
    if stated != hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest():
        raise ValueError(f"{seal}: does not match the content")
    return {name: (record["size_bytes"], record["sha256"]) for name, record in body["files"].items()}


def _kept(path: Path, why: str) -> BundleError:
    return BundleError(f"{path}: {why}: nothing was touched", "take it away, or choose another name")
