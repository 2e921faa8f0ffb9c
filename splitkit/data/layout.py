"""Where the pictures of a folder are: which part each belongs to, which class, and what is left out.

root/train/<class>/**  and  root/val/<class>/**     (val may be called valid, validation, test or testing)
root/train/<class>/**                               a fifth of every class is held back as the test set
root/<class>/**                                     likewise
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from splitkit.data.decode import shown
from splitkit.data.index import Listings
from splitkit.data.listing import kept_by_system
from splitkit.data.table import Files
from splitkit.data.walk import list_files, system_line
from splitkit.errors import DataError
from splitkit.labels import check_names, class_difference

TRAIN = ("train", "training")
TEST = ("val", "valid", "validation", "test", "testing")
HELD_BACK = 0.2
"""Share of the pictures that is the test set where a folder has none."""

EXPECTED = "expected train/<class>/* and val/<class>/*, or <class>/*"


@dataclass(frozen=True, slots=True)
class Layout:
    """Files of a picture folder by part.

    Attributes:
        classes: names by label.
        train, test: files and labels, in order of label and path.
        test_set: what the test set is, in words.
        left_out, test_left_out: what is not looked at, one line each: "path: why".
    """

    classes: tuple[str, ...]
    train: Files
    test: Files
    test_set: str
    left_out: tuple[str, ...]
    test_left_out: tuple[str, ...]


def find_layout(root: Path, known: Listings | None = None) -> Layout:
    """The parts, classes and files of a folder; no file is opened. Folders that are `known` are not listed again.

    Raises:
        DataError: it holds no classes or one, two names of classes look alike, `train` and
            the test set name different classes, or a class has too few files.
    """
    known = known or Listings()
    train = next((part for part in _parts(root, TRAIN) if _holds_folders(part)), None)
    tests = _parts(root, TEST)
    folder = train or root
    classes, hidden = _classes(folder)
    if train is None:
        _check_flat(root, classes, tests)
        tests = []  # a class may be called that
    if len(classes) == 1:
        inner = folder / classes[0]
        hint = f"--data {shown(inner)}" if _parts(inner, TRAIN) else EXPECTED
        raise DataError(f"{shown(folder)}: one class, {classes[0]!r}: two are needed", hint)
    if tests and tests[0].samefile(folder):
        raise DataError(f"{shown(tests[0])}: the same folder as {folder.name}/: a test set holds other pictures")
    files, skipped = list_files(folder, classes, tests, known)
    left_out = (
        *hidden,
        *skipped,
        *(f"{shown(part)}: not used, {tests[0].name}/ is the test set" for part in tests[1:]),
    )
    if not tests:
        kept, held = _hold_back(folder, classes, files)
        return Layout(classes, kept, held, f"a fifth of {shown(folder)}, held back", left_out, ())
    test = tests[0]
    in_test, test_hidden = _classes(test)
    if difference := class_difference(classes, in_test, (f"in {folder.name}", f"in {test.name}")):
        raise DataError(f"{shown(root)}: classes differ between {folder.name} and {test.name}: {difference}")
    test_files, test_skipped = list_files(test, in_test, [folder], known)
    return Layout(classes, files, test_files, shown(test), left_out, (*test_hidden, *test_skipped))


def _parts(root: Path, names: Sequence[str]) -> list[Path]:
    """The folders that bear these names, in whatever capitals, in order of `names`."""
    folders = [entry for entry in root.iterdir() if entry.name.casefold() in names and entry.is_dir()]
    return sorted(folders, key=lambda folder: (names.index(folder.name.casefold()), folder.name.swapcase()))


def _holds_folders(folder: Path) -> bool:
    return any(entry.is_dir() and not kept_by_system(entry.name) for entry in folder.iterdir())


def _check_flat(root: Path, classes: Sequence[str], tests: Sequence[Path]) -> None:
    """Refuse parts that look like classes: without it, a network would learn to tell training from test pictures."""
    if any(_holds_folders(part) for part in tests):
        raise DataError(f"{shown(root)}: holds {tests[0].name}/ but no train/ with class folders", EXPECTED)
    named = [name for name in classes if name.casefold() in (*TRAIN, *TEST)]
    if len(named) == len(classes) or (tests and any(name.casefold() in TRAIN for name in named)):
        raise DataError(f"{shown(root / named[0])}: holds no class folders", EXPECTED)


def _classes(folder: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the class folders, sorted, and a line for each folder that is none."""
    found = sorted(entry.name for entry in folder.iterdir() if entry.is_dir())
    names = tuple(name for name in found if not kept_by_system(name))
    if not names:
        raise DataError(f"{shown(folder)}: holds no class folders", EXPECTED)
    check_names(names, shown(folder))
    return names, tuple(system_line(folder / name) for name in found if kept_by_system(name))


def _hold_back(folder: Path, classes: Sequence[str], files: Files) -> tuple[Files, Files]:
    """Files to train on, and those that a hash of their names makes the test set: about a fifth of every class.

    A file's part depends on its own name alone, so that pictures added later move none from the test set to training.
    In a class where chance would take all or none, the file of the lowest or highest hash stands in.
    """
    depth, kept, held = len(folder.parts), [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    below = [os.fsencode("/".join((*listing.path.parts[depth:], ""))) for listing in files.listings]

    def draw(index: int) -> float:
        number = files.folders[index]
        return _draw(below[number] + files.listings[number].raw_name(int(files.places[index])))

    bounds = np.searchsorted(files.labels, np.arange(len(classes) + 1))
    for label, name in enumerate(classes):
        members = np.arange(bounds[label], bounds[label + 1])
        if len(members) < 3:
            raise DataError(
                f"{shown(folder / name)}: {len(members)} pictures: without a test set of its own a class needs "
                "three, to train, to search and to test"
            )
        draws = np.array([draw(i) for i in members.tolist()])
        count = min(max(1, int((draws < HELD_BACK).sum())), len(members) - 2)
        ranked = members[np.argsort(draws, kind="stable")]
        held.append(np.sort(ranked[:count]))
        kept.append(np.sort(ranked[count:]))
    return files.part(np.concatenate(kept)), files.part(np.concatenate(held))


def _draw(path: bytes) -> float:
    return int.from_bytes(hashlib.sha256(path).digest()[:8], "big") / 2**64
