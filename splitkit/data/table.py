"""Files and their labels as a compact table: a path object for each of a million files would take half a gigabyte."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray

from splitkit.data.listing import Listing, Look


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Files(Sequence[tuple[Path, int]]):
    """Files in order, each with its label: (path, label).

    Attributes:
        listings: the folders they are in.
        label_of: int64, the label of each folder's files.
        folders, places: int32 (n,), each file's folder among `listings`, and its place there.
    """

    listings: tuple[Listing, ...]
    label_of: NDArray[np.int64]
    folders: NDArray[np.int32]
    places: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.folders)

    @overload
    def __getitem__(self, index: int) -> tuple[Path, int]: ...

    @overload
    def __getitem__(self, index: slice) -> "Files": ...

    def __getitem__(self, index: int | slice) -> "tuple[Path, int] | Files":
        if isinstance(index, slice):
            return self.part(np.arange(len(self))[index])
        return self.path(index), int(self.label_of[self.folders[index]])

    def __iter__(self) -> Iterator[tuple[Path, int]]:
        return (self[i] for i in range(len(self)))

    @property
    def labels(self) -> NDArray[np.int64]:
        """int64 (n,)."""
        return self.label_of[self.folders]

    @property
    def paths(self) -> "Paths":
        """The files without their labels."""
        return Paths(self)

    def path(self, index: int) -> Path:
        """One file."""
        return self.listings[int(self.folders[index])].file(int(self.places[index]))

    def look_at(self, index: int) -> Look:
        """What is known of one file."""
        return self.listings[int(self.folders[index])].looked().at(int(self.places[index]))

    def part(self, indices: NDArray[np.integer]) -> "Files":
        """The files at `indices`, in their order."""
        return replace(self, folders=self.folders[indices], places=self.places[indices])


@dataclass(frozen=True, slots=True, eq=False)
class Paths(Sequence[Path]):
    """The paths of `files`, each made when it is asked for."""

    files: Files

    def __len__(self) -> int:
        return len(self.files)

    @overload
    def __getitem__(self, index: int) -> Path: ...

    @overload
    def __getitem__(self, index: slice) -> "Paths": ...

    def __getitem__(self, index: int | slice) -> "Path | Paths":
        return Paths(self.files[index]) if isinstance(index, slice) else self.files.path(index)


def in_order(listings: Sequence[tuple[Listing, int]]) -> Files:
    """The files of folders with their labels, in order of label and path, as path objects are ordered: part by part.

    A folder's files stand together but where a folder inside it comes between them, so whole runs are put in order.
    """
    numbers = {listing.path: number for number, (listing, _) in enumerate(listings)}
    inside: dict[int, list[str]] = {}
    for listing, _ in listings:
        if (parent := numbers.get(listing.path.parent)) is not None:
            inside.setdefault(parent, []).append(listing.path.name)
    runs: list[tuple[int, tuple[str, ...], int, int, int]] = []
    for number, (listing, label) in enumerate(listings):
        cuts = listing.places(inside[number]) if number in inside else []
        bounds = sorted({0, *cuts, len(listing)})
        runs += [(label, listing.file(start).parts, number, start, end) for start, end in pairwise(bounds)]
    runs.sort()
    return Files(
        tuple(listing for listing, _ in listings),
        np.array([label for _, label in listings], np.int64),
        _joined([np.full(end - start, number, np.int32) for _, _, number, start, end in runs]),
        _joined([np.arange(start, end, dtype=np.int32) for _, _, _, start, end in runs]),
    )


def _joined(arrays: Sequence[NDArray[np.int32]]) -> NDArray[np.int32]:
    return np.concatenate(arrays) if arrays else np.zeros(0, np.int32)
