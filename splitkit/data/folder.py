"""Image folders: `root/train/<class>/*` and `root/val/<class>/*`, anything Pillow opens."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from splitkit.data.augment import flip_and_shift
from splitkit.data.dataset import Dataset, Samples, carve_search_slice
from splitkit.data.views import crop_views
from splitkit.errors import DataError
from splitkit.space.search_space import InputSpace

_CHUNK = 256
"""Files one worker decodes at a time."""

_MODES = {1: "L", 3: "RGB", 4: "RGBA"}


_Chunk = Sequence[tuple[Path, int]]


@dataclass(frozen=True, slots=True)
class _Decoded:
    """The readable images of some files: uint8 (n, channels, size, size), labels (n,), one line per broken file."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    problems: tuple[str, ...]


def load(
    root: Path, space: InputSpace, seed: int = 0, search_fraction: float = 0.1, workers: int | None = None
) -> Dataset:
    """A data set from a folder; `val` is the test set and is not read before it is opened.

    Images are cropped to their centre square and scaled to the captured size. Broken ones are left out and named in
    `Dataset.problems`.

    Args:
        root: holds `train` and `val`, each with one folder per class.
        space: channels, size and views of what the sensor captures.
        seed: draws the search slice.
        search_fraction: share of every class in the search slice.
        workers: decoding threads; None takes one per available core.

    Raises:
        DataError: a folder is missing, a class has no readable image, or `train` and `val` name different classes.
    """
    if space.channels not in _MODES:
        raise DataError(f"{root}: images have 1, 3 or 4 channels, the space's input.channels is {space.channels}")
    classes = _class_names(root / "train")
    in_test = _class_names(root / "val")
    if classes != in_test:
        odd = sorted(set(classes) ^ set(in_test))
        raise DataError(f"{root}: classes differ between train and val: {', '.join(odd[:5])}")
    read = partial(_read, classes=classes, space=space, workers=workers)
    train, problems = read(root / "train")
    fitted, searched = carve_search_slice(train, search_fraction, seed)
    return Dataset(
        name=root.resolve().name,
        description=f"image folder {root}, {len(classes)} classes, captured at {space.size}x{space.size}",
        classes=classes,
        train=fitted,
        search=searched,
        augmentation=flip_and_shift,
        open_test=lambda: read(root / "val")[0],
        problems=problems,
    )


def _class_names(folder: Path) -> tuple[str, ...]:
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder", "expected train/<class>/* and val/<class>/*")
    names = tuple(sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and entry.name[0] != "."))
    if not names:
        raise DataError(f"{folder}: holds no class folders", "expected one folder per class")
    return names


def _read(
    folder: Path, classes: Sequence[str], space: InputSpace, workers: int | None
) -> tuple[Samples, tuple[str, ...]]:
    """Every readable image under `folder`, class by class, and a line for every other file."""
    files = [(path, label) for label, name in enumerate(classes) for path in _files(folder / name)]
    chunks = [files[i : i + _CHUNK] for i in range(0, len(files), _CHUNK)]
    decode = partial(_decode, channels=space.channels, size=space.size)
    # Threads: Pillow decodes and scales outside the interpreter lock, and processes would have to load torch first.
    with ThreadPoolExecutor(workers or len(os.sched_getaffinity(0))) as pool:
        decoded = list(pool.map(decode, chunks))
    problems = tuple(chain.from_iterable(part.problems for part in decoded))
    labels = np.concatenate([part.labels for part in decoded]) if decoded else np.zeros(0, dtype=np.int64)
    for label, name in enumerate(classes):
        if not (labels == label).any():
            broken = f"; {problems[0]}" if problems else ""
            raise DataError(f"{folder / name}: class without a readable image{broken}")
    images = torch.from_numpy(np.concatenate([part.images for part in decoded]))
    return Samples(crop_views(images, space.views), torch.from_numpy(labels)), problems


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name[0] != ".")


def _decode(files: _Chunk, channels: int, size: int) -> _Decoded:
    images, labels, problems = [], [], []
    for path, label in files:
        try:
            with Image.open(path) as image:
                square = _centre_square(image.convert(_MODES[channels]))
                pixels = np.asarray(square.resize((size, size), Image.Resampling.BILINEAR))
        except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            problems.append(f"{path}: not a readable image: {error}".splitlines()[0])
            continue
        images.append(pixels.reshape(size, size, channels).transpose(2, 0, 1))
        labels.append(label)
    stacked = np.stack(images) if images else np.zeros((0, channels, size, size), dtype=np.uint8)
    return _Decoded(stacked, np.array(labels, dtype=np.int64), tuple(problems))


def _centre_square(image: Image.Image) -> Image.Image:
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))
