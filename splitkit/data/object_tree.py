"""Trees of objects that several cameras see, laid out as ModelNet is: root/<class>/{train,test}/*.

Files are 3D models, or pictures named <object>_<view> with a number for the view.
"""

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from splitkit.data.decode import shown
from splitkit.data.listing import kept_by_system
from splitkit.data.meshes.read import SUFFIXES
from splitkit.errors import DataError
from splitkit.labels import check_names

TRAIN, TEST = "train", "test"

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".pgm", ".ppm")

VIEW = re.compile(r"(?P<object>.+)_(?P<view>\d{1,4})")

Kind = Literal["meshes", "views"]


@dataclass(frozen=True, slots=True)
class Object:
    """One thing of a class.

    Attributes:
        name: its path below the root, for a picture's object without view and suffix.
        files: a 3D model; or one picture a view, in order of their numbers.
    """

    name: str
    label: int
    files: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class ObjectTree:
    """The objects of a tree, in order of label and name, and what was left out: "path: why"."""

    kind: Kind
    classes: tuple[str, ...]
    train: tuple[Object, ...]
    test: tuple[Object, ...]
    left_out: tuple[str, ...]


def kind_of_tree(root: Path) -> Kind | None:
    """What a folder laid out as ModelNet holds; None for any other folder."""
    classes = _folders(root)
    if not classes or not all((folder / part).is_dir() for folder in classes for part in (TRAIN, TEST)):
        return None
    names = [entry.name.casefold() for folder in classes for entry in (folder / TRAIN).iterdir() if entry.is_file()]
    if any(name.endswith(SUFFIXES) for name in names):
        return "meshes"
    pictures = [Path(name).stem for name in names if name.endswith(PICTURES)]
    return "views" if pictures and all(VIEW.fullmatch(name) for name in pictures) else None


def find_objects(root: Path, kind: Kind) -> ObjectTree:
    """The objects of a tree; no file is opened.

    Raises:
        DataError: it has one class, two names of classes look alike, or a class has no objects in one part, or one
            alone to train and search with.
    """
    folders = _folders(root)
    classes = tuple(folder.name for folder in folders)
    check_names(classes, shown(root))
    if len(classes) == 1:
        raise DataError(f"{shown(root)}: one class, {classes[0]!r}: two are needed")
    left_out: list[str] = []
    parts: dict[str, list[Object]] = {TRAIN: [], TEST: []}
    for part, objects in parts.items():
        for label, folder in enumerate(folders):
            found = (_models if kind == "meshes" else _pictures)(root, folder / part, label, left_out)
            least = 2 if part == TRAIN else 1
            if len(found) < least:
                raise DataError(f"{shown(folder / part)}: {len(found)} objects, at least {least} are needed")
            objects += found
    return ObjectTree(kind, classes, tuple(parts[TRAIN]), tuple(parts[TEST]), tuple(left_out))


def _folders(root: Path) -> list[Path]:
    return sorted(entry for entry in root.iterdir() if entry.is_dir() and not kept_by_system(entry.name))


def _files(folder: Path, suffixes: tuple[str, ...], left_out: list[str]) -> list[Path]:
    found = []
    for entry in sorted(folder.iterdir()):
        if kept_by_system(entry.name):
            continue
        if entry.suffix.casefold() in suffixes and entry.is_file():
            found.append(entry)
        else:
            left_out.append(f"{shown(entry)}: not one of {', '.join(suffixes)}")
    return found


def _models(root: Path, folder: Path, label: int, left_out: list[str]) -> list[Object]:
    return [Object(str(file.relative_to(root)), label, (file,)) for file in _files(folder, SUFFIXES, left_out)]


def _pictures(root: Path, folder: Path, label: int, left_out: list[str]) -> list[Object]:
    views: defaultdict[str, dict[int, Path]] = defaultdict(dict)
    for file in _files(folder, PICTURES, left_out):
        named = VIEW.fullmatch(file.stem)
        if named is None:
            left_out.append(f"{shown(file)}: not named <object>_<view>")
        elif (view := int(named["view"])) in views[named["object"]]:
            left_out.append(f"{shown(file)}: view {view} of {named['object']!r} is there already")
        else:
            views[named["object"]][view] = file
    relative = folder.relative_to(root)
    return [
        Object(str(relative / name), label, tuple(files[view] for view in sorted(files)))
        for name, files in sorted(views.items())
    ]
