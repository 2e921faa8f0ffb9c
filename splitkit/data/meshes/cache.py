"""Rendered images kept as pictures: one PNG a model, its views below each other, to be looked at as well.

What a picture was made of is written into it; where that is not as it was, or the file is damaged, it is made anew.
A stopped run goes on where it was.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from splitkit.scratch import replacing

FIELD = "splitkit"
"""Of the PNG's text."""


def read_kept(file: Path, made_of: str, shape: tuple[int, int, int]) -> NDArray[np.uint8] | None:
    """The images in `file`, uint8 of `shape` (views, size, size); None if there are none of `made_of`."""
    views, height, width = shape
    try:
        with Image.open(file, formats=["PNG"]) as picture:
            if picture.size != (width, views * height) or picture.mode != "L":
                return None
            pixels = np.asarray(picture)
            written = getattr(picture, "text", {}).get(FIELD)
    except (OSError, SyntaxError, ValueError):
        return None
    return pixels.reshape(shape) if written == made_of else None


def keep(file: Path, made_of: str, images: NDArray[np.uint8]) -> None:
    """Write images (views, size, size); the file appears whole or not at all. Raises OSError."""
    text = PngImagePlugin.PngInfo()
    text.add_text(FIELD, made_of)
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as part:
        Image.fromarray(images.reshape(-1, images.shape[2])).save(part, "PNG", pnginfo=text)
