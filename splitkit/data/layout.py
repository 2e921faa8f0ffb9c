"""Where the pictures of a folder are: which part each belongs to, which class, and what is left out.

root/train/<class>/**  and  root/val/<class>/**     (val may be called valid, validation, test or testing)
root/train/<class>/**                               a fifth of every class is held back as the test set
root/<class>/**                                     likewise
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from splitkit.data.decode import shown
from splitkit.errors import DataError
from splitkit.labels import check_names, class_difference

TRAIN = ("train", "training")
TEST = ("val", "valid", "validation", "test", "testing")
HELD_BACK = 0.2
"""Share of the pictures that is the test set where a folder has none."""

EXPECTED = "expected train/<class>/* and val/<class>/*, or <class>/*"

SYSTEM_NAMES = frozenset(
    {
        "@eadir", "@recycle", "@recently-snapshot", "@tmp", "#recycle", "#snapshot", "__macosx", "lost+found",
        "$recycle.bin", "system volume information", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r",
    }
)  # fmt: skip
"""What file servers, archivers and desktops leave in folders; and everything that begins with a dot."""

Files = tuple[tuple[Path, int], ...]
"""Files and their labels."""


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


def find_layout(root: Path) -> Layout:
    """The parts, classes and files of a folder; no file is opened.

    Raises:
        DataError: it holds no classes or one, two names of classes look alike, `train` and
            the test set name different classes, or a class has too few files.
    """
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
    files, skipped = list_files(folder, classes, tests)
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
    test_files, test_skipped = list_files(test, in_test, [folder])
    return Layout(classes, files, test_files, shown(test), left_out, (*test_hidden, *test_skipped))


def kept_by_system(name: str) -> bool:
    """Whether a file or folder is none of the user's pictures by its name: hidden, or a system's own."""
    return name.startswith(".") or name.casefold() in SYSTEM_NAMES


def list_files(folder: Path, classes: Sequence[str], others: Sequence[Path] = ()) -> tuple[Files, tuple[str, ...]]:
    """Every file below the classes' folders, links followed, each folder read once; and what is left out.

    Links into the folders of `others` are left out as well: a part's pictures are its own.

    Raises:
        DataError: two classes are one folder.
    """
    walk = _Walk()
    inside = [entry for other in others for entry in other.iterdir() if entry.is_dir()]
    for foreign in (folder.resolve(), *folder.resolve().parents, *others, *inside):
        walk.claim(foreign)
    for name in classes:
        if (twin := walk.claim(folder / name)) is not None:
            raise DataError(f"{shown(folder / name)}: the same folder as {shown(twin)}: a class has its own")
    for label, name in enumerate(classes):
        walk.descend(folder / name, label)
    walk.follow_links()
    files = sorted(walk.files, key=lambda file: (file[1], file[0]))
    return tuple(files), tuple(sorted(walk.left_out))


@dataclass
class _Walk:
    """Folders first as they are, then through links, so that a link never takes a folder from where it belongs."""

    seen: dict[tuple[int, int], Path] = field(default_factory=dict)
    files: list[tuple[Path, int]] = field(default_factory=list)
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
                with os.scandir(folder) as found:
                    entries = sorted(found, key=lambda entry: entry.name)
            except OSError as error:
                self.left_out.append(f"{shown(folder)}: cannot be read: {error.strerror}")
                continue
            for entry in entries:
                self._sort(entry, folder / entry.name, label, folders)

    def _sort(self, entry: os.DirEntry[str], path: Path, label: int, folders: list[Path]) -> None:
        """A file is kept, a folder is added to `folders`, a link to one to `self.links`; all else is left out."""
        if kept_by_system(entry.name):
            self.left_out.append(_system_line(path))
        elif entry.is_file(follow_symlinks=False):
            self.files.append((path, label))
        elif entry.is_dir(follow_symlinks=False):
            self._enter(path, folders)
        elif path.is_dir():
            self.links.append((path, label))
        elif path.is_file():
            self.files.append((path, label))
        else:
            why = "a link to nothing" if entry.is_symlink() else "not a file"
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


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _system_line(path: Path) -> str:
    if not path.is_dir():
        return f"{shown(path)}: hidden, or kept by a system"
    count = sum(len(names) for _, _, names in os.walk(path))
    return f"{shown(path)}: hidden, or kept by a system ({count} files)"


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
    return names, tuple(_system_line(folder / name) for name in found if kept_by_system(name))


def _hold_back(folder: Path, classes: Sequence[str], files: Files) -> tuple[Files, Files]:
    """Files to train on, and those that a hash of their names makes the test set: about a fifth of every class.

    A file's part depends on its own name alone, so that pictures added later move none from the test set to training.
    In a class where chance would take all or none, the file of the lowest or highest hash stands in.
    """
    kept: list[tuple[Path, int]] = []
    held: list[tuple[Path, int]] = []
    for label, name in enumerate(classes):
        ranked = sorted((_draw(path.relative_to(folder)), path) for path, of in files if of == label)
        if len(ranked) < 3:
            raise DataError(
                f"{shown(folder / name)}: {len(ranked)} pictures: without a test set of its own a class needs "
                "three, to train, to search and to test"
            )
        count = min(max(1, sum(draw < HELD_BACK for draw, _ in ranked)), len(ranked) - 2)
        held += sorted((path, label) for _, path in ranked[:count])
        kept += sorted((path, label) for _, path in ranked[count:])
    return tuple(kept), tuple(held)


def _draw(path: Path) -> float:
    digest = hashlib.sha256(os.fsencode(path.as_posix())).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
