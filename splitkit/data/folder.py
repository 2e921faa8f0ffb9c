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

from splitkit.data.augment import flip_and_shift
from splitkit.data.dataset import Dataset, Samples, SampleSource, carve_search_slice
from splitkit.data.decode import MODES, UNREADABLE, decode, problem_with, unreadable
from splitkit.data.files import FileSamples
from splitkit.data.views import crop_views
from splitkit.errors import DataError
from splitkit.space.search_space import InputSpace

SEARCH_FRACTION, SEARCH_IMAGES = 0.1, 5000
"""Share of the training set in the search slice, and the most images there."""

MEMORY_BYTES = 1 << 30
"""Images that take no more than this once decoded are decoded once and kept; others stay in their files."""

_CHUNK = 256
"""Files one worker decodes at a time."""


_Chunk = Sequence[tuple[Path, int]]


@dataclass(frozen=True, slots=True)
class _Decoded:
    """The readable images of some files: uint8 (n, channels, size, size), labels (n,), one line per broken file."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    problems: tuple[str, ...]


def load(
    root: Path,
    space: InputSpace,
    seed: int = 0,
    search_fraction: float = SEARCH_FRACTION,
    search_images: int | None = None,
    workers: int | None = None,
    memory_bytes: int = MEMORY_BYTES,
) -> Dataset:
    """A data set from a folder; `val` is the test set and is not read before it is opened.

    Images are cropped to their centre square and scaled to the captured size. Broken ones are left out and named in
    `Dataset.problems`. Sets of more than `memory_bytes` are decoded as they are needed; of their files only the headers
    are read here, so that one whose pixels are broken is a DataError when it is met.

    Args:
        root: holds `train` and `val`, each with one folder per class.
        space: channels, size and views of what the sensor captures.
        seed: draws the search slice.
        search_fraction: share of every class in the search slice.
        search_images: most images in the search slice; `SEARCH_IMAGES` by default.
        workers: decoding threads; None takes one per available core.

    Raises:
        DataError: a folder is missing, a class has no readable image, or `train` and `val` name different classes.
    """
    if space.channels not in MODES:
        raise DataError(f"{root}: images have 1, 3 or 4 channels, the space's input.channels is {space.channels}")
    classes = _class_names(root / "train")
    in_test = _class_names(root / "val")
    if classes != in_test:
        odd = sorted(set(classes) ^ set(in_test))
        raise DataError(f"{root}: classes differ between train and val: {', '.join(odd[:5])}")
    threads = workers or len(os.sched_getaffinity(0))
    read = partial(_read, classes=classes, space=space, workers=threads, memory_bytes=memory_bytes)
    train, problems = read(root / "train")
    fitted, searched = carve_search_slice(train.labels, search_fraction, seed, search_images or SEARCH_IMAGES)
    return Dataset(
        name=root.resolve().name,
        description=f"image folder {root}, {len(classes)} classes, captured at {space.size}x{space.size}",
        classes=classes,
        train=train.part(fitted),
        search=train.take(searched),
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
    folder: Path, classes: Sequence[str], space: InputSpace, workers: int, memory_bytes: int
) -> tuple[SampleSource, tuple[str, ...]]:
    """Every readable image under `folder`, class by class, and a line for every other file."""
    files = [(path, label) for label, name in enumerate(classes) for path in _files(folder / name)]
    samples: SampleSource
    if len(files) * space.views * space.channels * space.size**2 <= memory_bytes:
        samples, problems = _read_into_memory(files, space, workers)
    else:
        samples, problems = _read_headers(files, space, workers)
    for label, name in enumerate(classes):
        if not (samples.labels == label).any():
            broken = f"; {problems[0]}" if problems else ""
            raise DataError(f"{folder / name}: class without a readable image{broken}")
    return samples, problems


def _read_into_memory(files: _Chunk, space: InputSpace, workers: int) -> tuple[Samples, tuple[str, ...]]:
    chunks = [files[i : i + _CHUNK] for i in range(0, len(files), _CHUNK)]
    # Threads: Pillow decodes and scales outside the interpreter lock, and processes would have to load torch first.
    with ThreadPoolExecutor(workers) as pool:
        decoded = list(pool.map(partial(_decode, channels=space.channels, size=space.size), chunks))
    shape = (0, space.channels, space.size, space.size)
    images = torch.from_numpy(np.concatenate([np.zeros(shape, np.uint8), *(part.images for part in decoded)]))
    labels = torch.from_numpy(np.concatenate([np.zeros(0, np.int64), *(part.labels for part in decoded)]))
    problems = tuple(chain.from_iterable(part.problems for part in decoded))
    return Samples(crop_views(images, space.views), labels), problems


def _read_headers(files: _Chunk, space: InputSpace, workers: int) -> tuple[FileSamples, tuple[str, ...]]:
    with ThreadPoolExecutor(workers) as pool:
        found = list(pool.map(problem_with, (path for path, _ in files), chunksize=_CHUNK))
    good = [file for file, problem in zip(files, found, strict=True) if problem is None]
    labels = torch.tensor([label for _, label in good], dtype=torch.int64)
    problems = tuple(problem for problem in found if problem is not None)
    return FileSamples(tuple(path for path, _ in good), labels, space, workers), problems


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name[0] != ".")


def _decode(files: _Chunk, channels: int, size: int) -> _Decoded:
    images, labels, problems = [], [], []
    for path, label in files:
        try:
            images.append(decode(path, channels, size))
        except UNREADABLE as error:
            problems.append(unreadable(path, error))
            continue
        labels.append(label)
    stacked = np.stack(images) if images else np.zeros((0, channels, size, size), dtype=np.uint8)
    return _Decoded(stacked, np.array(labels, dtype=np.int64), tuple(problems))
