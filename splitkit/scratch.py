"""What is not meant to stay: scratch directories and half-written files, gone with their owner or swept after it.

Each has a name that only splitkit gives and is locked (flock) while its owner lives, so that anybody on the machine can
tell what a killed process left behind from what is in use. Whoever writes beside such a leftover removes it first.
"""

import ctypes
import fcntl
import json
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

COMMAND = "splitkit-run"
"""Begins the name of the directory that holds a command's temporary files."""

_OURS = re.compile(rf"({COMMAND}|\..+\.splitkit)-[0-9a-f]{{12}}")


@contextmanager
def scratch_directory(directory: Path, name: str) -> Iterator[Path]:
    """A hidden directory for making `name` in `directory`; removed at the end unless it was moved away."""
    with _owned(directory, f".{name}.splitkit", Path.mkdir) as made:
        yield made


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file to write instead of `path`, whose place it takes at the end: `path` is whole or as it was before.

    It is on the disk by then, and so is its name where the file system allows, whatever happens to the machine.
    Raises OSError.
    """
    with _owned(path.parent, f".{path.name}.splitkit", Path.touch) as made:
        yield made
        _flush(made)
        made.replace(path)
        with suppress(OSError):  # not every file system can
            _flush(path.parent)


@contextmanager
def temporary_files() -> Iterator[Path]:
    """Keep all temporary files of this process and of those it starts in one directory, and remove it at the end."""
    outer = Path(tempfile.gettempdir())
    with _owned(outer, COMMAND, lambda path: path.mkdir(0o700)) as made:
        before = tempfile.tempdir, os.environ.get("TMPDIR")
        tempfile.tempdir = os.environ["TMPDIR"] = str(made)
        try:
            yield made
        finally:
            tempfile.tempdir = before[0]
            os.environ.pop("TMPDIR")
            if before[1] is not None:
                os.environ["TMPDIR"] = before[1]


def exchange(one: Path, other: Path) -> None:
    """Each takes the other's name: at once where the system can do that, else with a moment between.

    Killed in that moment, `other` is left as `.NAME.splitkit-aside`, which nobody sweeps.
    """
    here, swap = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    rename = getattr(ctypes.CDLL(None), "renameat2", None)
    if rename is None or rename(here, os.fsencode(one), here, os.fsencode(other), swap) != 0:
        aside = other.with_name(f".{other.name}.splitkit-aside")
        other.replace(aside)
        one.replace(other)
        aside.replace(one)


def sweep(directory: Path) -> None:
    """Remove what is splitkit's in `directory` and whose owner is dead. What cannot be told or removed stays."""
    with suppress(OSError):
        for entry in os.scandir(directory):
            if _OURS.fullmatch(entry.name) and entry.stat(follow_symlinks=False).st_uid == os.geteuid():
                _remove_if_dead(Path(entry.path))


@contextmanager
def _owned(directory: Path, prefix: str, make: Callable[[Path], None]) -> Iterator[Path]:
    """Something new in `directory` that is locked meanwhile, and gone at the end if it is still there."""
    sweep(directory)
    made, lock = _made_and_locked(directory, prefix, make)
    try:
        yield made
    finally:
        _remove(made)
        os.close(lock)


def _made_and_locked(directory: Path, prefix: str, make: Callable[[Path], None]) -> tuple[Path, int]:
    while True:
        path = directory / f"{prefix}-{secrets.token_hex(6)}"
        make(path)
        try:
            lock = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        except FileNotFoundError:
            continue  # swept by another process before it was locked
        if _lock(lock) is not False and _is_at(lock, path):
            return path, lock
        os.close(lock)


def _remove_if_dead(path: Path) -> None:
    with suppress(OSError):
        lock = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            if _lock(lock) and _is_at(lock, path):
                _remove(path)
        finally:
            os.close(lock)


def _lock(descriptor: int) -> bool | None:
    """Whether it could be locked; None where the file system has no such locks, and so nobody else has one."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat(follow_symlinks=False))
    except FileNotFoundError:
        return False


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: Path, body: Any) -> None:
    """Write a JSON file, whole or not at all; numbers that are not finite are null."""
    from splitkit.reading import jsonable  # with pydantic, which `splitkit --help` does without

    with replacing(path) as partial:
        partial.write_text(json.dumps(jsonable(body), indent=1, allow_nan=False) + "\n", encoding="utf-8")
