"""Files of a directory that somebody else may have filled: only those inside it, only regular ones, only so large.

Names come out of manifests, artifacts and graphs. What they mean is decided here and nowhere else. A link, a FIFO, a
device or a socket is refused before it is opened: a link may lead outside, the others may never end.
"""

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import BinaryIO

from splitkit.errors import BundleError

CHUNK = 1 << 20
_READ_FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def checked_name(name: str) -> str:
    """`name`, if it can only mean a file inside the directory it is used in: relative, parts joined by single `/`.

    Raises:
        ValueError: it is empty or absolute, has `.`, `..`, a backslash, a drive or a control character.
    """
    parts = name.split("/")
    windows = PureWindowsPath(name)
    if (
        any(part in ("", ".", "..") or len(part) > 255 for part in parts)
        or "\\" in name
        or windows.drive
        or windows.root
        or not name.isprintable()
    ):
        raise ValueError(f"{name!r} is no relative path of a file inside the bundle")
    return name


def file_inside(directory: Path, name: str) -> Path:
    """The regular file called `name` below `directory`; nothing is opened.

    Raises:
        BundleError: the name leads elsewhere, or the file is missing, a link, below a link, or not a regular file.
    """
    try:
        parts = PurePosixPath(checked_name(name)).parts
    except ValueError as error:
        raise BundleError(f"{directory}: {error}") from error
    path = directory
    for i, part in enumerate(parts, start=1):
        path = path / part
        try:
            mode = path.lstat().st_mode
        except OSError as error:
            raise BundleError(f"{path}: cannot be read: {error.strerror or error}", "export it again") from error
        if not (stat.S_ISREG(mode) if i == len(parts) else stat.S_ISDIR(mode)):
            raise BundleError(f"{path}: is {_kind(mode)}, where a {_wanted(i == len(parts))} should be")
    return path


def open_inside(directory: Path, name: str) -> BinaryIO:
    """The file called `name` below `directory`, opened for reading.

    Raises:
        BundleError: as `file_inside`.
    """
    path = file_inside(directory, name)
    try:
        file = os.fdopen(os.open(path, _READ_FLAGS), "rb")
    except OSError as error:
        raise BundleError(f"{path}: cannot be read: {error.strerror or error}", "export it again") from error
    mode = os.fstat(file.fileno()).st_mode
    if not stat.S_ISREG(mode):  # replaced since it was looked at
        file.close()
        raise BundleError(f"{path}: is {_kind(mode)}, where a file should be")
    return file


def read_inside(directory: Path, name: str, most_bytes: int) -> bytes:
    """Content of the file called `name` below `directory`.

    Raises:
        BundleError: as `file_inside`; or it is larger than `most_bytes`.
    """
    try:
        with open_inside(directory, name) as file:
            content = file.read(most_bytes + 1)
    except OSError as error:
        raise BundleError(f"{directory / name}: cannot be read: {error.strerror or error}") from error
    if len(content) > most_bytes:
        raise BundleError(f"{directory / name}: is larger than {most_bytes:,} bytes")
    return content


def sha256_inside(directory: Path, name: str, size_bytes: int) -> str:
    """SHA-256, hexadecimal, of the file called `name` below `directory`, which has to have this size.

    Raises:
        BundleError: as `file_inside`; or it has another size, and is not read.
    """
    digest = hashlib.sha256()
    try:
        with open_inside(directory, name) as file:
            actual = os.fstat(file.fileno()).st_size
            left = size_bytes
            while actual == size_bytes and left > 0 and (some := file.read(min(CHUNK, left))):
                digest.update(some)
                left -= len(some)
    except OSError as error:
        raise BundleError(f"{directory / name}: cannot be read: {error.strerror or error}") from error
    if actual != size_bytes:
        raise BundleError(
            f"{directory / name}: has {actual:,} bytes, {size_bytes:,} are stated",
            "the file was changed: export the bundle again",
        )
    return digest.hexdigest()


def names_below(directory: Path, within: str = "") -> Iterator[str]:
    """Names, relative to `directory`, of everything below it (below `directory/within`) that is not a directory."""
    for folder, folders, files in os.walk(directory / within, followlinks=False):
        below = Path(folder).relative_to(directory)
        links = [name for name in folders if (Path(folder) / name).is_symlink()]
        yield from ((below / name).as_posix() for name in sorted([*files, *links]))


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFLNK: "a link", stat.S_IFDIR: "a directory", stat.S_IFREG: "a file", stat.S_IFIFO: "a named pipe",
        stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device",
    }  # fmt: skip
    return kinds.get(stat.S_IFMT(mode), "something else")


def _wanted(last: bool) -> str:
    return "file" if last else "directory"
