"""One folder's entries as a compact table, and what is known of its files: a large tree has millions of them."""

import os
import time
from bisect import bisect_left
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

SYSTEM_NAMES = frozenset(
    {
        "@eadir", "@recycle", "@recently-snapshot", "@tmp", "#recycle", "#snapshot", "__macosx", "lost+found",
        "$recycle.bin", "system volume information", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r",
    }
)  # fmt: skip
"""What file servers, archivers and desktops leave in folders; and everything that begins with a dot."""

SETTLED_NS = 2_000_000_000
"""Age below which a time of change proves nothing: clocks of file systems tick up to two seconds apart."""

UNSETTLED = -1
"""Stands for a time of change that was too young, or for a reason that may pass: equal to none that is found later."""

UNSEEN, USABLE, DAMAGED, INTEGERS, REALS, DEEP_COLOUR = range(6)
"""What is known of a file: nothing yet, a picture of 8 bits a channel, none that can be used, or how deep it is."""


class Stamp(NamedTuple):
    """What tells whether a folder lists as it did: its number and the time of its last change, in nanoseconds."""

    inode: int
    changed_ns: int


class Look(NamedTuple):
    """What looking at one file gave: its size, when it was written, a verdict, the largest value, why it is no use."""

    size: int
    written_ns: int
    verdict: int
    peak: float = 0.0
    reason: str = ""


@dataclass(slots=True, eq=False, repr=False)
class Looks:
    """What is known of a folder's files, by place.

    Attributes:
        sizes, written_ns: int64, of the files as they were looked at.
        verdicts: uint8.
        peaks: float64, largest values of pictures deeper than 8 bits; empty where there are none.
        reasons: why files are `DAMAGED`.
    """

    sizes: NDArray[np.int64]
    written_ns: NDArray[np.int64]
    verdicts: NDArray[np.uint8]
    peaks: NDArray[np.float64]
    reasons: dict[int, str]

    @classmethod
    def none(cls, count: int) -> "Looks":
        """Nothing is known of so many files."""
        sizes, written = np.zeros(count, np.int64), np.full(count, UNSETTLED, np.int64)
        return cls(sizes, written, np.zeros(count, np.uint8), np.zeros(0), {})

    def record(self, place: int, look: Look) -> None:
        """Note what a look gave."""
        self.sizes[place], self.written_ns[place], self.verdicts[place] = look.size, look.written_ns, look.verdict
        self.reasons.pop(place, None)
        if look.verdict == DAMAGED:
            self.reasons[place] = look.reason
        if look.verdict >= INTEGERS:
            if not len(self.peaks):
                self.peaks = np.zeros(len(self.sizes))
            self.peaks[place] = look.peak

    def at(self, place: int) -> Look:
        """What is known of one file."""
        peak = float(self.peaks[place]) if len(self.peaks) else 0.0
        numbers = int(self.sizes[place]), int(self.written_ns[place]), int(self.verdicts[place])
        return Look(*numbers, peak, self.reasons.get(place, ""))


@dataclass(slots=True, eq=False, repr=False)
class Listing:
    """One folder.

    Attributes:
        stamp: as it was just before it was listed.
        names: of its files and of links to files, in order, each followed by a null byte.
        folders: names of folders that are no links.
        others: all other names: links to folders and to nothing, devices, what systems keep. They are looked at
            afresh each time, for what they are may change elsewhere.
    """

    path: Path
    stamp: Stamp
    names: bytes
    folders: tuple[str, ...]
    others: tuple[str, ...]
    looks: Looks | None = None
    _ends: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        self._ends = np.flatnonzero(np.frombuffer(self.names, np.uint8) == 0)

    def __len__(self) -> int:
        return len(self._ends)

    def raw_name(self, place: int) -> bytes:
        """A file's name as the system has it."""
        start = int(self._ends[place - 1]) + 1 if place else 0
        return self.names[start : int(self._ends[place])]

    def all_names(self) -> list[str]:
        """The files' names, in order."""
        return [os.fsdecode(name) for name in self.names.split(b"\0")[:-1]]

    def file(self, place: int) -> Path:
        """A file's path."""
        return self.path / os.fsdecode(self.raw_name(place))

    def links(self) -> list[str]:
        """Names that would be files' if what they lead to became one."""
        return [name for name in self.others if not kept_by_system(name)]

    def looked(self) -> Looks:
        """What is known of the files, room for it being made."""
        if self.looks is None:
            self.looks = Looks.none(len(self))
        return self.looks

    def places(self, folders: list[str]) -> list[int]:
        """Where names would stand among those of the files."""
        names = self.all_names()
        return [bisect_left(names, folder) for folder in folders]

    def forget_changed_damage(self) -> None:
        """Files that were no use and have been written since are not known any more."""
        if self.looks is not None:
            for place in np.flatnonzero(self.looks.verdicts == DAMAGED).tolist():
                if not _as_it_was(self.file(place), self.looks.at(place)):
                    self.looks.verdicts[place] = UNSEEN

    def take_over(self, old: "Listing") -> None:
        """What is known of files that are as they were when the folder was listed as `old`."""
        if old.looks is None:
            return
        known = {name: place for place, name in enumerate(old.all_names())}
        looks, folder = self.looked(), str(self.path)  # joined as texts, since there may be a million of them
        for place, name in enumerate(self.all_names()):
            before = known.get(name)
            if before is not None and old.looks.verdicts[before] != UNSEEN:
                look = old.looks.at(before)
                if _as_it_was(f"{folder}/{name}", look):
                    looks.record(place, look)


def scan(folder: Path) -> Listing:
    """List a folder.

    Raises:
        OSError: it cannot be read.
    """
    stamp = stamp_of(folder)
    if time.time_ns() - stamp.changed_ns < SETTLED_NS:
        stamp = Stamp(stamp.inode, UNSETTLED)
    files: list[str] = []
    folders: list[str] = []
    others: list[str] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if kept_by_system(entry.name):
                others.append(entry.name)
            elif entry.is_file(follow_symlinks=False) or _links_to_file(entry):
                files.append(entry.name)
            else:
                (folders if entry.is_dir(follow_symlinks=False) else others).append(entry.name)
    names = b"".join(os.fsencode(name) + b"\0" for name in sorted(files))
    return Listing(folder, stamp, names, tuple(sorted(folders)), tuple(sorted(others)))


def stamp_of(folder: Path) -> Stamp:
    """The stamp of a folder now. The time is that of any change: unlike that of writing, nobody can set it back.

    Raises:
        OSError: it cannot be found.
    """
    status = folder.stat()
    return Stamp(status.st_ino, status.st_ctime_ns)


def kept_by_system(name: str) -> bool:
    """Whether a file or folder is none of the user's pictures by its name: hidden, or a system's own."""
    return name.startswith(".") or name.casefold() in SYSTEM_NAMES


def _links_to_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_symlink() and entry.is_file()
    except OSError:
        return False  # a link to nothing, in a circle


def _as_it_was(file: str | Path, look: Look) -> bool:
    try:
        status = os.stat(file)
    except OSError:
        return False
    return (status.st_size, status.st_mtime_ns) == (look.size, look.written_ns)
