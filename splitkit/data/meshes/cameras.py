"""Where cameras stand: on a sphere around the object, all of them looking at its centre."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

RigName = Literal["ring", "dodecahedron"]

ELEVATION = 30.0
"""Degrees by which a ring's cameras look down (Su et al., "Multi-view convolutional neural networks", ICCV 2015)."""

RING = 12
"""Cameras of the ring that is rendered; fewer views are taken out of it where they are evenly spaced there."""

MOST = 20
"""Vertices of a dodecahedron."""


def rig(name: RigName, views: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Cameras to render with, and which of them are the `views` that are wanted.

    Args:
        name: `ring`: evenly around the z axis, the first one at +x, `ELEVATION` above the object. `dodecahedron`: at
            its vertices, each view as far as can be from those before it.
        views: how many sensors there are.

    Returns:
        Directions from the object to the cameras, float64 (n, 3) of length 1, and int64 (views,).
    """
    if name == "dodecahedron":
        return _dodecahedron(), np.arange(views)
    count = RING if RING % views == 0 else views
    angles = 2 * np.pi * np.arange(count) / count
    up = np.radians(ELEVATION)
    around = np.stack([np.cos(angles) * np.cos(up), np.sin(angles) * np.cos(up), np.full(count, np.sin(up))], axis=1)
    return around, np.arange(views) * (count // views)


def _dodecahedron() -> NDArray[np.float64]:
    """Its vertices, each the one whose nearest predecessor is farthest away; the first is nearest to +x and +z."""
    golden = (1 + np.sqrt(5)) / 2
    signs = [-1.0, 1.0]
    corners = [(x, y, z) for x in signs for y in signs for z in signs]
    edges = [(0.0, a / golden, b * golden) for a in signs for b in signs]
    found: NDArray[np.float64] = np.array(
        [*corners, *(np.roll(edge, turn) for edge in edges for turn in range(3))]
    ) / np.sqrt(3)
    order = [int(np.lexsort((found[:, 1], -(found[:, 0] + found[:, 2]).round(9)))[0])]
    while len(order) < len(found):
        nearest = np.linalg.norm(found[:, None] - found[order], axis=2).min(1).round(9)
        order.append(int(nearest.argmax()))
    return found[order]
