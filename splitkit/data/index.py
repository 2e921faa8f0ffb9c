"""What is known of a tree of pictures, kept in an SQLite file: large trees open in seconds from the second time on.

One row a folder: its stamp, its entries' names, and of each file the size, the time of writing and what looking at it
gave. Rows are written in transactions as the looking goes on, so that one that is killed loses seconds of it.

A folder whose stamp (inode, time of change) is as it was is not listed again. In one that changed, files of the same
name, size and time of writing are not looked at again. Not noticed is a usable file that is overwritten in place in a
folder that does not change, and a link whose target does: nothing breaks, for files are read when they are needed, and
one that is no picture any more is named then.
"""

import json
import os
import sqlite3
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
import PIL

from splitkit.data.decode import shown
from splitkit.data.listing import Listing, Looks, Stamp, scan, stamp_of
from splitkit.errors import DataError, reason

APPLICATION_ID = 0x53504958
SCHEMA_VERSION = 1
BUSY_TIMEOUT_S = 20.0

_SCHEMA = (
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
    "CREATE TABLE about (tree BLOB NOT NULL, pillow TEXT NOT NULL)",
    "CREATE TABLE folders (path BLOB PRIMARY KEY, inode TEXT NOT NULL, changed_ns INTEGER NOT NULL,"
    " names BLOB NOT NULL, folders BLOB NOT NULL, others BLOB NOT NULL, sizes BLOB NOT NULL, written_ns BLOB NOT NULL,"
    " verdicts BLOB NOT NULL, peaks BLOB NOT NULL, reasons TEXT NOT NULL, crc INTEGER NOT NULL)",
)

_UNAVAILABLE = {
    sqlite3.SQLITE_BUSY: "another process keeps it locked",
    sqlite3.SQLITE_LOCKED: "another process keeps it locked",
    sqlite3.SQLITE_PERM: "permission denied",
    sqlite3.SQLITE_READONLY: "it is read-only",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened",
    sqlite3.SQLITE_FULL: "there is no room on the disk",
    sqlite3.SQLITE_IOERR: "reading or writing failed",
}
"""What SQLite says of files that may be sound all the same; whatever else it says is damage."""

Say = Callable[[str], None]
Result = TypeVar("Result")


def silent(text: str) -> None:
    """Say nothing."""


class _DamagedError(Exception):
    """What the file holds is not what was written."""


class PictureIndex:
    """The index of one tree. One that is damaged is set aside, one that cannot be used is done without: it says so."""

    def __init__(self, file: Path, root: Path, say: Say) -> None:
        """Open an index.

        Args:
            file: where it is kept; made when there is something to keep.
            root: the tree. An index of another one, or by another Pillow, is begun anew.
            say: told in one line what is wrong with the file.

        Raises:
            DataError: `file` is a data base of something else.
        """
        self.file, self.root, self._say = file, root, say
        self._about = (os.fsencode(root.resolve()), PIL.__version__)
        self._db: sqlite3.Connection | None = None
        self._usable = True
        if file.exists():
            self._guarded(self._open)

    def close(self) -> None:
        """Let go of the file."""
        if self._db is not None:
            self._db.close()
        self._db = None

    def get(self, folder: Path) -> Listing | None:
        """What is known of a folder."""
        return None if self._db is None else self._guarded(lambda: self._read(folder))

    def put(self, listings: Sequence[Listing]) -> None:
        """Keep what is known of folders, in one transaction."""
        if self._usable:
            self._guarded(lambda: self._write(listings))

    def keep_only(self, folders: Iterable[Path]) -> None:
        """Forget all other folders."""
        if self._db is not None:
            self._guarded(lambda: self._drop_others({self._key(folder) for folder in folders}))

    def _guarded(self, act: Callable[[], Result]) -> Result | None:
        """What `act` gives; nothing where the file is of no use, which is said."""
        try:
            return act()
        except (OSError, sqlite3.Error, _DamagedError) as error:
            self.close()
            code = getattr(error, "sqlite_errorcode", None)
            why = reason(error) if isinstance(error, OSError) else _UNAVAILABLE.get((code or 0) & 0xFF)
            if why is None and self._usable:
                try:
                    self._set_aside()
                    return None
                except OSError as failure:
                    why = reason(failure)
            self._usable = False
            self._say(f"{shown(self.file)}: {why or reason(error)}: the pictures are looked at without an index")
        return None

    def _set_aside(self) -> None:
        aside = self.file.with_name(f"{self.file.name}.damaged")
        self.file.replace(aside)
        self.file.with_name(f"{self.file.name}-journal").unlink(missing_ok=True)
        self._say(f"{shown(self.file)}: damaged: made anew, the old one is {aside.name}")

    def _open(self) -> sqlite3.Connection:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self._db = db = sqlite3.connect(self.file, timeout=BUSY_TIMEOUT_S, isolation_level=None)
        owner, version = (db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version"))
        tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if owner != APPLICATION_ID and tables:
            self.close()
            raise DataError(f"{shown(self.file)}: no index of pictures", "name another file, or leave it out")
        if version != SCHEMA_VERSION or db.execute("SELECT tree, pillow FROM about").fetchone() != self._about:
            with _transaction(db):
                for table in tables:
                    db.execute(f"DROP TABLE {table}")
                for statement in _SCHEMA:
                    db.execute(statement)
                db.execute("INSERT INTO about VALUES (?, ?)", self._about)
        return db

    def _read(self, folder: Path) -> Listing | None:
        assert self._db is not None
        query = f"SELECT {', '.join(_COLUMNS)}, crc FROM folders WHERE path = ?"
        row = self._db.execute(query, (self._key(folder),)).fetchone()
        if row is None:
            return None
        *values, crc = row
        if crc != _checksum(values):
            raise _DamagedError
        inode, changed_ns, names, folders, others, sizes, written_ns, verdicts, peaks, reasons = values
        looks = Looks(
            np.frombuffer(sizes, np.int64).copy(),
            np.frombuffer(written_ns, np.int64).copy(),
            np.frombuffer(verdicts, np.uint8).copy(),
            np.frombuffer(peaks, np.float64).copy(),
            {int(place): text for place, text in json.loads(reasons).items()},
        )
        return Listing(folder, Stamp(int(inode), changed_ns), names, _split(folders), _split(others), looks)

    def _write(self, listings: Sequence[Listing]) -> None:
        db = self._db or self._open()
        marks = ", ".join("?" for _ in ("path", *_COLUMNS, "crc"))
        with _transaction(db):
            db.executemany(f"INSERT OR REPLACE INTO folders VALUES ({marks})", map(self._row, listings))

    def _row(self, listing: Listing) -> tuple[Any, ...]:
        looks = listing.looked()
        values = (
            str(listing.stamp.inode),
            listing.stamp.changed_ns,
            listing.names,
            _join(listing.folders),
            _join(listing.others),
            looks.sizes.tobytes(),
            looks.written_ns.tobytes(),
            looks.verdicts.tobytes(),
            looks.peaks.tobytes(),
            json.dumps(looks.reasons),
        )
        return (self._key(listing.path), *values, _checksum(values))

    def _drop_others(self, keys: set[bytes]) -> None:
        assert self._db is not None
        gone = [key for key in self._db.execute("SELECT path FROM folders") if key[0] not in keys]
        if gone:
            with _transaction(self._db):
                self._db.executemany("DELETE FROM folders WHERE path = ?", gone)

    def _key(self, folder: Path) -> bytes:
        return os.fsencode(folder.relative_to(self.root))


_COLUMNS = (
    "inode", "changed_ns", "names", "folders", "others", "sizes", "written_ns", "verdicts", "peaks", "reasons",
)  # fmt: skip


class Listings:
    """Folders' listings: from an index, where there is one and the folder is as it was."""

    def __init__(self, index: PictureIndex | None = None) -> None:
        self.index = index
        self.met: list[Path] = []
        self.fresh: list[Listing] = []

    def of(self, folder: Path) -> Listing:
        """A folder's entries, and what is known of its files.

        Raises:
            OSError: it cannot be read.
        """
        if self.index is None:
            return scan(folder)
        self.met.append(folder)
        old, now = self.index.get(folder), stamp_of(folder)
        if old is not None and old.stamp == now and not any((folder / name).is_file() for name in old.links()):
            old.forget_changed_damage()
            return old
        new = scan(folder)
        if old is not None:
            new.take_over(old)
        self.fresh.append(new)
        return new

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.index is not None:
            self.index.close()

    def keep_fresh(self) -> None:
        """Keep the listings that the index did not have, and nothing of folders that are gone."""
        if self.index is not None and self.met:
            self.index.put(self.fresh)
            self.index.keep_only(self.met)
            self.fresh, self.met = [], []


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _checksum(values: Iterable[Any]) -> int:
    crc = 0
    for value in values:
        crc = zlib.crc32(value if isinstance(value, bytes) else str(value).encode(), crc)
    return crc


def _join(names: Sequence[str]) -> bytes:
    return b"".join(os.fsencode(name) + b"\0" for name in names)


def _split(names: bytes) -> tuple[str, ...]:
    return tuple(os.fsdecode(name) for name in names.split(b"\0")[:-1])
