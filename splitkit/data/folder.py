"""Picture folders (`layout` says how they may look), anything Pillow opens (`decode` says what becomes of it)."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from splitkit.data.augment import MirrorAndShift
from splitkit.data.dataset import AS_CAPTURED, Dataset, Samples, SamplesLater, SampleSource, carve_search_slice
from splitkit.data.decode import (
    MODES,
    FullScale,
    Peak,
    UnreadableError,
    bombs_are_errors,
    check_colour,
    decode,
    look,
    shown,
)
from splitkit.data.files import FileSamples
from splitkit.data.headers import look_at_headers
from splitkit.data.index import Listings, PictureIndex, Say, silent
from splitkit.data.layout import find_layout
from splitkit.data.table import Files
from splitkit.data.views import crop_views
from splitkit.errors import DataError
from splitkit.space.search_space import InputSpace

SEARCH_FRACTION, SEARCH_IMAGES = 0.1, 5000
"""Share of the training set in the search slice, and the most images there."""

MEMORY_BYTES = 1 << 30
"""Images that take no more than this once decoded are decoded once and kept; others stay in their files."""

_Look = NDArray[np.uint8] | Peak | str
"""What looking at a file gave: pixels, the largest value of what is deeper, or why it cannot be used."""


@dataclass(frozen=True, slots=True)
class _Read:
    """The usable pictures of some files.

    Attributes:
        peaks: of those deeper than 8 bits, or the highest of each kind.
        problems: one line for every other file.
    """

    samples: SampleSource
    full_scale: FullScale
    peaks: tuple[Peak, ...]
    problems: tuple[str, ...]


def load(
    root: Path,
    space: InputSpace,
    seed: int = 0,
    search_fraction: float = SEARCH_FRACTION,
    *,
    search_images: int | None = None,
    workers: int | None = None,
    mirror: bool = False,
    shift: int | None = None,
    full_scale: float | None = None,
    memory_bytes: int = MEMORY_BYTES,
    index: Path | None = None,
    say: Say = silent,
) -> Dataset:
    """A data set from a folder; the test set is not read before it is opened.

    Files that cannot be used are left out and named in `Dataset.problems`. Sets of more than `memory_bytes` are decoded
    as they are needed; of their files only the headers are read here (greys deeper than 8 bits wholly, for their
    scale), so that one whose pixels are broken is a DataError when it is met. With an `index`, those that it knows are
    not read again.

    Args:
        root: the folder.
        space: channels, size and views of what the sensor captures.
        seed: draws the search slice.
        search_fraction: share of every class in the search slice.
        search_images: most images in the search slice; `SEARCH_IMAGES` by default.
        workers: decoding threads; None takes one per available core.
        mirror: training images may be mirrored; a class that its mirror image does not belong to needs this off.
        shift: training images are shifted by up to so many pixels; an eighth of the side by default.
        full_scale: the value that becomes 255 in greys deeper than 8 bits; found from the training set by default.
        memory_bytes: most that decoded images may take for all of them to be kept.
        index: a file in which what was seen of a set larger than that is kept for the next time; made if missing.
        say: told how far a long look is, and that an index is damaged or of no use.

    Raises:
        DataError: a folder is missing or misses pictures, classes differ between training and test set, or the greys
            fit no scale.
    """
    if space.channels not in MODES:
        raise DataError(
            f"{shown(root)}: images have 1, 3 or 4 channels, the space's input.channels is {space.channels}"
        )
    if shift is not None and shift >= space.size:
        raise DataError(f"data.shift: {shift} pixels, of images of {space.size}", "an eighth of the side is usual")
    given = None if full_scale is None else FullScale(full_scale, full_scale, given=True)
    threads = workers or len(os.sched_getaffinity(0))

    def open_index() -> Listings:
        return Listings(None if index is None else PictureIndex(index, root, say))

    with open_index() as known:
        layout = find_layout(root, known)
        read = partial(
            _read, root=root, classes=layout.classes, space=space, workers=threads, memory_bytes=memory_bytes, say=say
        )
        train = read(layout.train, full_scale=given, known=known)
    _check_counts(root, layout.classes, train.samples)
    fitted, searched = carve_search_slice(train.samples.labels, search_fraction, seed, search_images or SEARCH_IMAGES)

    def open_test() -> tuple[SampleSource, tuple[str, ...]]:
        with open_index() as known:
            test = read(layout.test, full_scale=train.full_scale, known=known)
        return test.samples, (*test.problems, *layout.test_left_out)

    about = [
        f"picture folder {shown(root)}, {len(layout.classes)} classes, captured at {space.size}x{space.size}",
        train.full_scale.pixels(train.peaks),
        f"test set: {layout.test_set}",
        _counted(train.problems, layout.left_out),
    ]
    return Dataset(
        name=root.resolve().name,
        description="; ".join(part for part in about if part),
        classes=layout.classes,
        train=train.samples.part(fitted),
        search=SamplesLater(train.samples.part(searched)),
        augmentation=MirrorAndShift(mirror, shift),
        open_test=open_test,
        pixels=train.full_scale.pixels(train.peaks) or AS_CAPTURED,
        problems=(*train.problems, *layout.left_out),
    )


def _read(
    files: Files,
    root: Path,
    classes: Sequence[str],
    space: InputSpace,
    workers: int,
    memory_bytes: int,
    full_scale: FullScale | None,
    known: Listings,
    say: Say,
) -> _Read:
    """Every usable picture among `files`, in their order; without a `full_scale`, that of these pictures is found."""
    kept = len(files) * space.views * space.channels * space.size**2 <= memory_bytes
    if kept:
        read = _decoded(files, root, space, workers, full_scale)
    else:
        headers = look_at_headers(files, workers, known, say)
        peaks = headers.highest()
        check_colour(peaks, shown(root))
        scale = full_scale or FullScale.of(peaks, shown(root))
        problems = headers.problems(scale)
        good = np.delete(np.arange(len(files)), list(problems))
        samples = FileSamples(files.part(good), torch.from_numpy(files.labels[good]), space, workers, scale)
        read = _Read(samples, scale, peaks, tuple(problems.values()))
    counts = read.samples.labels.bincount(minlength=len(classes)).tolist()
    if 0 in counts:
        broken = f"; {read.problems[0]}" if read.problems else ""
        raise DataError(f"{shown(root)}: class {classes[counts.index(0)]!a} without a readable picture{broken}")
    return read


def _decoded(files: Files, root: Path, space: InputSpace, workers: int, full_scale: FullScale | None) -> _Read:
    """The same of a set that is kept in memory."""
    with bombs_are_errors(), ThreadPoolExecutor(workers) as pool:
        # Threads: Pillow decodes and scales outside the interpreter lock, and processes would have to load torch first.
        found = list(pool.map(partial(_first_look, space=space), files.paths))
        peaks = tuple(result for result in found if isinstance(result, Peak))
        check_colour(peaks, shown(root))
        scale = full_scale or FullScale.of(peaks, shown(root))
        found = list(pool.map(partial(_second_look, space=space, full_scale=scale), files.paths, found))
    good = [i for i, result in enumerate(found) if not isinstance(result, str)]
    problems = tuple(result for result in found if isinstance(result, str))
    images = [result for result in found if isinstance(result, np.ndarray)]
    pixels = np.stack(images) if images else np.zeros((0, space.channels, space.size, space.size), np.uint8)
    samples = Samples(crop_views(torch.from_numpy(pixels), space.views), torch.from_numpy(files.labels[good]))
    return _Read(samples, scale, peaks, problems)


def _first_look(path: Path, space: InputSpace) -> _Look:
    try:
        return look(path, space.channels, space.size)
    except UnreadableError as error:
        return f"{shown(path)}: {error}"


def _second_look(path: Path, result: _Look, space: InputSpace, full_scale: FullScale) -> _Look:
    """What became of pictures deeper than 8 bits, now that their scale is known; the others are as they were."""
    if not isinstance(result, Peak):
        return result
    try:
        full_scale.white(result.kind, result.value)
        return decode(path, space.channels, space.size, full_scale)
    except UnreadableError as error:
        return f"{shown(path)}: {error}"


def _check_counts(root: Path, classes: Sequence[str], samples: SampleSource) -> None:
    counts = samples.labels.bincount(minlength=len(classes)).tolist()
    for name, count in zip(classes, counts, strict=True):
        if count < 2:
            raise DataError(
                f"{shown(root)}: class {name!a} has one training picture: two are needed, to train and to search"
            )


def _counted(problems: Sequence[str], left_out: Sequence[str]) -> str:
    """How many files and folders a data set goes without."""
    if not problems and not left_out:
        return ""
    unread = f"{len(problems)} files that are no usable pictures" if problems else ""
    skipped = f"{len(left_out)} files and folders by their names or places" if left_out else ""
    return "left out: " + " and ".join(part for part in (unread, skipped) if part)
