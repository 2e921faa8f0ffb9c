"""Data sets of objects that several cameras see: 3D models, rendered, or pictures of every view."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from splitkit.data.augment import MirrorAndShift
from splitkit.data.dataset import Dataset, Samples, SampleSource, carve_search_slice
from splitkit.data.decode import Peak, UnreadableError, bombs_are_errors, look, shown
from splitkit.data.folder import SEARCH_FRACTION, SEARCH_IMAGES
from splitkit.data.index import Say, silent
from splitkit.data.meshes.cache import keep, read_kept
from splitkit.data.meshes.cameras import MOST, RigName, rig
from splitkit.data.meshes.read import Axis, NoModelError, read_model
from splitkit.data.meshes.render import VERSION, render
from splitkit.data.object_tree import Kind, Object, find_objects
from splitkit.errors import DataError, StorageError, reason
from splitkit.space.search_space import InputSpace

See = Callable[[Object], NDArray[np.uint8]]
"""Images of an object, uint8 (views, channels, size, size); raises `NoModelError` or `UnreadableError`."""

SAY_EVERY = 100
"""Objects after which it is said how far a long rendering is."""


def load(
    root: Path,
    kind: Kind,
    space: InputSpace,
    seed: int = 0,
    search_fraction: float = SEARCH_FRACTION,
    *,
    search_images: int | None = None,
    workers: int | None = None,
    mirror: bool = False,
    shift: int | None = None,
    cameras: RigName | None = None,
    up: Axis | None = None,
    renders: Path | None = None,
    say: Say = silent,
) -> Dataset:
    """A data set from a tree in ModelNet's layout; of the test set nothing is read before it is opened.

    Objects that cannot be used are left out and named in `Dataset.problems`. All images are held in memory.

    Args:
        root: the tree.
        kind: what it holds, as `kind_of_tree` says.
        space: channels, size and number of views. Renderings are grey: channels are alike.
        seed: draws the search slice.
        search_fraction, search_images, mirror, shift: as of a picture folder; all views of an object are varied alike.
        workers: threads; None takes one per available core.
        cameras: where they stand around a model, a ring by default; see `cameras.rig`.
        up: the axis that points up in models; as the format has it, else z, by default.
        renders: a folder in which rendered images are kept for the next time; made if missing.
        say: told how far a long rendering is.

    Raises:
        DataError: the tree is incomplete, a class has no usable object, pictures have fewer views than the space, or
            `cameras` and `up` are given for pictures.
        StorageError: renderings cannot be kept.
    """
    tree = find_objects(root, kind)
    if kind == "views" and (cameras, up) != (None, None):
        raise DataError(f"{shown(root)}: holds pictures: cameras and up are for 3D models", "leave them out of [data]")
    if cameras == "dodecahedron" and space.views > MOST:
        raise DataError(f"data.cameras: a dodecahedron has {MOST} corners, the space has {space.views} views")
    see = (
        partial(_decoded, space=space)
        if kind == "views"
        else partial(_rendered, space=space, cameras=cameras or "ring", up=up, renders=renders)
    )
    read = partial(_read, see=see, tree_root=root, workers=workers or len(os.sched_getaffinity(0)), say=say)
    train, problems = read(tree.train, classes=tree.classes, least=2)
    fitted, searched = carve_search_slice(train.labels, search_fraction, seed, search_images or SEARCH_IMAGES)

    def open_test() -> tuple[SampleSource, tuple[str, ...]]:
        return read(tree.test, classes=tree.classes, least=1)

    seen = f"{cameras or 'ring'} of cameras, rendered" if kind == "meshes" else "pictures"
    return Dataset(
        name=root.resolve().name,
        description=f"{shown(root)}, {len(tree.classes)} classes of objects, {space.views} views of each ({seen}) at "
        f"{space.size}x{space.size}; test set: its own",
        classes=tree.classes,
        train=train.part(fitted),
        search=train.take(searched),
        augmentation=MirrorAndShift(mirror, shift),
        open_test=open_test,
        problems=(*problems, *tree.left_out),
    )


def _read(
    objects: Sequence[Object],
    see: See,
    tree_root: Path,
    classes: Sequence[str],
    least: int,
    workers: int,
    say: Say,
) -> tuple[Samples, tuple[str, ...]]:
    """Images of all usable objects in their order, and why the others are none."""

    def attempt(thing: Object) -> NDArray[np.uint8] | str:
        try:
            return see(thing)
        except (NoModelError, UnreadableError) as error:
            return f"{shown(thing.files[0])}: {error}"

    found: list[NDArray[np.uint8] | str] = []
    with bombs_are_errors(), ThreadPoolExecutor(workers) as pool:
        try:
            for result in pool.map(attempt, objects):
                found.append(result)
                if len(found) % SAY_EVERY == 0 and len(found) < len(objects):
                    say(f"{len(found)} of {len(objects)} objects seen")
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    good = [i for i, result in enumerate(found) if not isinstance(result, str)]
    labels = np.array([objects[i].label for i in good], np.int64)
    problems = tuple(result for result in found if isinstance(result, str))
    for name, count in zip(classes, np.bincount(labels, minlength=len(classes)).tolist(), strict=True):
        if count < least:
            why = f"; {problems[0]}" if problems else ""
            raise DataError(f"{shown(tree_root)}: class {name!a}: {count} usable objects, {least} are needed{why}")
    images = np.stack([result for result in found if not isinstance(result, str)])
    return Samples(torch.from_numpy(images), torch.from_numpy(labels)), problems


def _rendered(
    thing: Object, space: InputSpace, cameras: RigName, up: Axis | None, renders: Path | None
) -> NDArray[np.uint8]:
    directions, chosen = rig(cameras, space.views)
    shape = (len(directions), space.size, space.size)
    file = thing.files[0]
    images, kept = None, None
    if renders is not None:
        try:
            status = file.stat()
        except OSError as error:
            raise NoModelError(f"cannot be read: {reason(error)}") from error
        made_of = f"{VERSION} {status.st_size} {status.st_mtime_ns} {up or ''}"
        kept = renders / f"{cameras}{len(directions)}-{space.size}" / f"{thing.name}.png"
        images = read_kept(kept, made_of, shape)
    if images is None:
        images = render(read_model(file, up), directions, space.size)
        if kept is not None:
            try:
                keep(kept, made_of, images)
            except OSError as error:
                raise StorageError(f"{kept}: {reason(error)}", "rendered images are kept beside the run") from error
    return np.repeat(images[chosen, None], space.channels, axis=1)


def _decoded(thing: Object, space: InputSpace) -> NDArray[np.uint8]:
    """As many of an object's pictures as the space has views, evenly spread over those there are."""
    count = len(thing.files)
    if count < space.views:
        raise UnreadableError(f"{count} pictures of {thing.name}, {space.views} views are wanted")
    chosen = [thing.files[view * count // space.views] for view in range(space.views)]
    return np.stack([_picture(file, space) for file in chosen])


def _picture(file: Path, space: InputSpace) -> NDArray[np.uint8]:
    found = look(file, space.channels, space.size)
    if isinstance(found, Peak):
        raise UnreadableError(f"{file.name} is deeper than 8 bits a channel, which views may not be")
    return found
