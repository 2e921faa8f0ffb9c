"""Every file below the folders of classes: links followed, each folder read once, what is left out named."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from splitkit.data.decode import shown
from splitkit.data.index import Listings
from splitkit.data.listing import Listing, kept_by_system
from splitkit.data.table import Files, in_order
from splitkit.errors import DataError


def list_files(
    folder: Path, classes: Sequence[str], others: Sequence[Path], known: Listings
) -> tuple[Files, tuple[str, ...]]:
    """Every file below the classes' folders, links followed, each folder read once; and what is left out.

    Links into the folders of `others` are left out as well: a part's pictures are its own.

    Raises:
        DataError: two classes are one folder.
    """
    walk = _Walk(known)
    inside = [entry for other in others for entry in other.iterdir() if entry.is_dir()]
    for foreign in (folder.resolve(), *folder.resolve().parents, *others, *inside):
        walk.claim(foreign)
    for name in classes:
        if (twin := walk.claim(folder / name)) is not None:
            raise DataError(f"{shown(folder / name)}: the same folder as {shown(twin)}: a class has its own")
    for label, name in enumerate(classes):
        walk.descend(folder / name, label)
    walk.follow_links()
    return in_order(walk.listings), tuple(sorted(walk.left_out))


@dataclass
class _Walk:
    """Folders first as they are, then through links, so that a link never takes a folder from where it belongs."""

    known: Listings
    seen: dict[tuple[int, int], Path] = field(default_factory=dict)
    listings: list[tuple[Listing, int]] = field(default_factory=list)
    links: list[tuple[Path, int]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def claim(self, folder: Path) -> Path | None:
        """Note that a folder is read; the path it was read by already, if it was."""
        found = self.seen.setdefault(_identity(folder), folder)
        return None if found is folder else found

    def descend(self, top: Path, label: int) -> None:
        folders = [top]
        while folders:
            folder = folders.pop()
            try:
                listing = self.known.of(folder)
            except OSError as error:
                self.left_out.append(f"{shown(folder)}: cannot be read: {error.strerror}")
                continue
            self.listings.append((listing, label))
            for name in listing.folders:
                self._enter(folder / name, folders)
            for name in listing.others:
                self._sort(folder / name, label)

    def _sort(self, path: Path, label: int) -> None:
        """What is no plain file or folder: a link to a folder is kept for later, all else is left out."""
        if kept_by_system(path.name):
            self.left_out.append(system_line(path))
        elif path.is_dir():
            self.links.append((path, label))
        else:
            why = "a link to nothing" if path.is_symlink() else "not a file"
            self.left_out.append(f"{shown(path)}: {why}")

    def follow_links(self) -> None:
        while self.links:
            path, label = self.links.pop(0)
            reached: list[Path] = []
            self._enter(path, reached)
            for folder in reached:
                self.descend(folder, label)

    def _enter(self, path: Path, folders: list[Path]) -> None:
        if (twin := self.claim(path)) is None:
            folders.append(path)
        else:
            self.left_out.append(f"{shown(path)}: leads to {shown(twin)}, which is read once")


def system_line(path: Path) -> str:
    """That a folder or file is left out by its name."""
    if not path.is_dir():
        return f"{shown(path)}: hidden, or kept by a system"
    count = sum(len(names) for _, _, names in os.walk(path))
    return f"{shown(path)}: hidden, or kept by a system ({count} files)"


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino
