"""Image files as arrays: centre square, captured size, uint8."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

MODES = {1: "L", 3: "RGB", 4: "RGBA"}
"""Pillow's modes by number of channels."""

UNREADABLE = (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError)
"""What Pillow raises for files that are no images, or broken ones."""


def decode(path: Path, channels: int, size: int) -> NDArray[np.uint8]:
    """The image cropped to its centre square and scaled: uint8 (channels, size, size). Raises one of `UNREADABLE`."""
    with Image.open(path) as image:
        square = _centre_square(image.convert(MODES[channels]))
        pixels = np.asarray(square.resize((size, size), Image.Resampling.BILINEAR))
    return pixels.reshape(size, size, channels).transpose(2, 0, 1)


def problem_with(path: Path) -> str | None:
    """Why a file's header cannot be read, in one line; None if it can. The pixels are not looked at."""
    try:
        with Image.open(path):
            return None
    except UNREADABLE as error:
        return unreadable(path, error)


def unreadable(path: Path, error: Exception) -> str:
    """One line that names the file."""
    return f"{path}: not a readable image: {error}".splitlines()[0]


def _centre_square(image: Image.Image) -> Image.Image:
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))
