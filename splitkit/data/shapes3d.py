"""Ten classes of solids that one camera cannot tell apart and several can: what they differ in is on one side of them.

A block or a can, plain or with pegs, notches, handles or a slot; proportions, places and the way it faces are drawn
anew for every solid. They are rendered by `meshes.render`, a ring of cameras around them.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from splitkit.data.augment import MirrorAndShift
from splitkit.data.dataset import Dataset, Samples, carve_search_slice
from splitkit.data.meshes.cameras import rig
from splitkit.data.meshes.model import Model
from splitkit.data.meshes.render import render
from splitkit.space.search_space import InputSpace

TRAIN, TEST = 100, 40
"""Solids of each class."""

_SEED = 20_261_127
"""The solids are the same for everyone, whatever seed the rest of a run uses."""

_CUBE_CORNERS = np.array([[x, y, z] for x in (0.0, 1.0) for y in (0.0, 1.0) for z in (0.0, 1.0)])
_CUBE_FACES = np.array(
    [
        [0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1],
        [2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3],
    ]
)  # fmt: skip

Draw = np.random.Generator


def load(space: InputSpace, seed: int = 0, search_fraction: float = 0.2, search_images: int | None = None) -> Dataset:
    """1,000 solids to train and search with, 400 to test, seen by a ring of `space.views` cameras.

    A fifth of the training solids, at most `search_images`, is the search slice. Rendering takes some seconds; of the
    test set it is done when that is opened.
    """
    train = _seen(space, 0, TRAIN)
    fitted, searched = carve_search_slice(train.labels, search_fraction, seed, search_images)
    return Dataset(
        name="shapes3d",
        description=f"{10 * TRAIN} generated solids in 10 classes, {space.views} views of each at "
        f"{space.size}x{space.size}",
        classes=tuple(CLASSES),
        train=train.take(fitted),
        search=train.take(searched),
        augmentation=MirrorAndShift(mirror=True, shift=max(1, space.size // 16)),
        open_test=lambda: (_seen(space, 1, TEST), ()),
    )


def solid(name: str, draw: Draw) -> Model:
    """One solid of a class, facing anywhere."""
    turn = draw.uniform(0, 2 * np.pi)
    cos, sin = np.cos(turn), np.sin(turn)
    model = _joined(CLASSES[name](draw))
    return Model(model.vertices @ np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]]), model.faces)


def _seen(space: InputSpace, part: int, each: int) -> Samples:
    """`each` solids of every class, rendered."""
    cameras, chosen = rig("ring", space.views)

    def look(label: int, number: int) -> NDArray[np.uint8]:
        model = solid(list(CLASSES)[label], np.random.default_rng([_SEED, part, label, number]))
        return render(model, cameras[chosen], space.size)

    wanted = [(label, number) for label in range(len(CLASSES)) for number in range(each)]
    with ThreadPoolExecutor() as pool:
        images = np.stack(list(pool.map(look, *zip(*wanted, strict=True))))
    pixels = np.repeat(images[:, :, None], space.channels, axis=2)
    return Samples(torch.from_numpy(pixels), torch.tensor([label for label, _ in wanted]))


def _joined(parts: Sequence[Model]) -> Model:
    """All parts as one; they may overlap."""
    starts = np.cumsum([0, *(len(part.vertices) for part in parts)])
    faces = [part.faces + start for part, start in zip(parts, starts[:-1], strict=True)]
    return Model(np.concatenate([part.vertices for part in parts]), np.concatenate(faces))


def _box(x: tuple[float, float], y: tuple[float, float], z: tuple[float, float]) -> Model:
    low, high = np.array([x, y, z]).T
    return Model(low + _CUBE_CORNERS * (high - low), _CUBE_FACES)


def _drum(radius: float, z: tuple[float, float], opening: float = 0.0, sides: int = 40) -> Model:
    """An upright cylinder; of one with an `opening` a sector of so many radians, around +x, is missing."""
    angles = np.linspace(opening / 2, 2 * np.pi - opening / 2, sides + 1)
    rim = radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    flat = np.concatenate([[[0.0, 0.0]], rim])
    count = len(flat)
    vertices = np.concatenate([np.column_stack([flat, np.full(count, height)]) for height in z])
    around = [(i, i + 1) for i in range(1, count - 1)]
    fans = [(0, a, b) for a, b in around] + [(count, count + b, count + a) for a, b in around]
    walls = [*around, *([(0, 1), (count - 1, 0)] if opening else [])]
    quads = [face for a, b in walls for face in ((a, b, count + b), (a, count + b, count + a))]
    return Model(vertices, np.array([*fans, *quads]))


def _turned(parts: Sequence[Model]) -> list[Model]:
    """The same on the opposite side."""
    return [Model(part.vertices * [-1, -1, 1], part.faces) for part in parts]


def _block(draw: Draw, positive: str = "", negative: str = "") -> list[Model]:
    """A block with a `peg` or a `notch` at its ends, +x and -x."""
    length, width, height = draw.uniform(0.7, 1.0), draw.uniform(0.6, 1.0), draw.uniform(0.7, 1.1)
    deep = 0.5 * length
    parts = [_box((-length + deep, length - deep), (-width, width), (0, height))]
    for end, turn in ((positive, list[Model]), (negative, _turned)):
        parts += turn(_end(draw, end, length, deep, width, height))
    return parts


def _end(draw: Draw, end: str, length: float, deep: float, width: float, height: float) -> list[Model]:
    """The end of a block at +x. A peg stands out of it; a notch is a corner that is missing below the lid."""
    x = (length - deep, length)
    if end == "notch":
        inner = width - draw.uniform(0.7, 1.0) * width
        lid = 0.8 * height
        return [_box(x, (-width, inner), (0, height)), _box(x, (inner, width), (lid, height))]
    peg = []
    if end == "peg":
        across, up = draw.uniform(0.7, 1.1) * width, draw.uniform(0.4, 0.6) * height
        left, low = draw.uniform(-0.9 * width, 0.9 * width - across), draw.uniform(0.15, 0.35) * height
        peg = [_box((length, length + draw.uniform(0.35, 0.5)), (left, left + across), (low, low + up))]
    return [_box(x, (-width, width), (0, height)), *peg]


def _can(draw: Draw, handles: int = 0, slot: bool = False) -> list[Model]:
    """A drum with handles, or with a slot under its lid."""
    radius, height = draw.uniform(0.6, 0.9), draw.uniform(0.9, 1.4)
    lid = 0.12 * height
    parts = [
        _drum(radius, (0, height - lid), draw.uniform(0.9, 1.2) if slot else 0.0),
        _drum(radius, (height - lid, height)),
    ]
    for turn in (list[Model], _turned)[:handles]:
        reach, thick = draw.uniform(0.4, 0.55), draw.uniform(0.11, 0.16)
        low, high = draw.uniform(0.15, 0.3) * height, draw.uniform(0.6, 0.8) * height
        y = (-thick, thick)
        out = (radius * 0.9, radius + reach)
        parts += turn(
            [
                _box(out, y, (low, low + 2 * thick)),
                _box(out, y, (high - 2 * thick, high)),
                _box((out[1] - 2 * thick, out[1]), y, (low, high)),
            ]
        )
    return parts


CLASSES: dict[str, Callable[[Draw], list[Model]]] = {
    "block": _block,
    "block with a peg": partial(_block, positive="peg"),
    "block with two pegs": partial(_block, positive="peg", negative="peg"),
    "block with a notch": partial(_block, positive="notch"),
    "block with two notches": partial(_block, positive="notch", negative="notch"),
    "block with peg and notch": partial(_block, positive="peg", negative="notch"),
    "can": _can,
    "can with a handle": partial(_can, handles=1),
    "can with two handles": partial(_can, handles=2),
    "can with a slot": partial(_can, slot=True),
}
"""How each class is made; labels are in this order."""
