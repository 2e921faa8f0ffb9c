"""Files of 3D models, read by trimesh, and why some are none that can be looked at."""

import io
import logging
import re
from pathlib import Path
from typing import Literal

import numpy as np

from splitkit.data.meshes.model import Model

SUFFIXES = (".off", ".obj", ".stl", ".ply", ".glb")

MOST_BYTES = 1 << 29
"""Larger files are refused: they would take several times as much memory."""

Axis = Literal["x", "y", "z"]

UP: dict[str, Axis] = {".glb": "y"}
"""Which axis points up by a format's own rules; z where it has none."""

_JOINED_HEADER = re.compile(rb"\A\s*((?:ST)?C?N?OFF)(?=[ \t]*[-\d])")
"""Counts on the line of the magic word, as many files of ModelNet have them: `OFF490 518 0`."""

logging.getLogger("trimesh").addHandler(logging.NullHandler())


class NoModelError(Exception):
    """Why a file holds no model that can be looked at, in one line without the file's name."""


def read_model(path: Path, up: Axis | None = None) -> Model:
    """A model's triangles, z up. Materials and textures are not read.

    Args:
        path: one of `SUFFIXES`, in any capitals.
        up: the axis that points up in the file; as the format has it, else z, by default.

    Raises:
        NoModelError: it cannot be read, holds no triangle with an area, or numbers that are none.
    """
    suffix = path.suffix.lower()
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise NoModelError(f"{size / 2**20:.0f} MiB: at most {MOST_BYTES >> 20} MiB are read")
        content = path.read_bytes()
    except OSError as error:
        raise NoModelError(f"cannot be read: {error.strerror}") from error
    if not content.strip():
        raise NoModelError("an empty file")
    if suffix == ".off":
        content = _JOINED_HEADER.sub(rb"\1\n", content, count=1)
    model = _parsed(content, suffix)
    return Model(model.vertices[:, _order(up or UP.get(suffix, "z"))], model.faces)


def _parsed(content: bytes, suffix: str) -> Model:
    import trimesh

    try:
        mesh = trimesh.load_mesh(io.BytesIO(content), file_type=suffix[1:], process=False)
        vertices, faces = np.asarray(mesh.vertices, np.float64), np.asarray(mesh.faces, np.int64)
    except MemoryError:
        raise
    except Exception as error:  # parsers of damaged files raise whatever they stumble over
        raise NoModelError(f"no {suffix[1:]} file that can be read ({type(error).__name__})") from error
    if faces.ndim != 2 or faces.shape[1:] != (3,) or not len(faces):
        raise NoModelError("holds no triangles")
    if faces.min() < 0 or faces.max() >= len(vertices):
        raise NoModelError(f"a face names a vertex that is not among its {len(vertices)}")
    if not np.isfinite(vertices[np.unique(faces)]).all():
        raise NoModelError("holds coordinates that are no numbers")
    model = Model(vertices, faces)
    if not model.normals().any():
        raise NoModelError("no triangle has an area")
    return model


def _order(up: Axis) -> list[int]:
    """Axes of the file in the order that brings `up` to z, handedness kept."""
    return {"x": [1, 2, 0], "y": [2, 0, 1], "z": [0, 1, 2]}[up]
