"""Picture files as arrays: upright, on a grey ground, centre square, captured size, uint8.

| what a file holds | what becomes of it |
| --- | --- |
| 8 bits a channel, palettes, 1 bit, CMYK | converted by Pillow to the space's channels |
| grey deeper than 8 bits, integers or floating point | value x 255 / the data set's full scale (`FullScale`) |
| transparency | laid over mid-grey (128), on which neither black nor white figures vanish |
| EXIF orientation | applied |
| several frames | the first |

A sensor that is to see what the network was trained on maps its values to uint8 in the same way: linearly, full scale
to 255.
"""

import logging
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from splitkit.errors import DataError

logging.getLogger("PIL").addHandler(logging.NullHandler())  # or what it says of damaged files lands on the screen

_thread = threading.local()

MODES = {1: "L", 3: "RGB", 4: "RGBA"}
"""Pillow's modes by number of channels."""

GROUND = 128
"""Grey value behind transparent pixels."""

BITS = (8, 10, 12, 14, 16, 24, 32)
"""What cameras and files offer."""

Kind = Literal["bytes", "integers", "reals", "deep colour"]
"""How deep a picture's values are; of colour deeper than 8 bits Pillow reads the upper 8 of 16."""


class UnreadableError(Exception):
    """Why a file is no picture that can be used, in one line without the file's name."""


@dataclass(frozen=True, slots=True)
class Peak:
    """The largest value of one picture that is deeper than 8 bits."""

    kind: Kind
    value: float


@dataclass(frozen=True, slots=True)
class FullScale:
    """The values that become 255 in greys deeper than 8 bits.

    Attributes:
        integers, reals: of pictures of whole and of floating-point numbers.
        given: stated by the user: larger values are clipped. Else they are an error.
    """

    integers: float = 65535.0
    reals: float = 1.0
    given: bool = False

    @classmethod
    def of(cls, peaks: "Sequence[Peak]", source: str) -> "FullScale":
        """What fits all training pictures: whole numbers fill 8, 10, 12, 14, ... bits; reals end at 1, or likewise.

        Raises:
            DataError: no scale fits without a guess.
        """
        hint = "state it: full_scale in [data] of splitkit.toml"
        integers, reals = (
            max((peak.value for peak in peaks if peak.kind == kind), default=0.0) for kind in ("integers", "reals")
        )
        if 1 < reals < 128:
            raise DataError(f"{source}: floating-point pictures end at {reals:g}: not 1, nor 255 or more", hint)
        if max(integers, reals) >= 2 ** BITS[-1]:
            raise DataError(f"{source}: values of {max(integers, reals):g}: more than {BITS[-1]} bits", hint)
        return cls(_filled(integers), 1.0 if reals <= 1 else _filled(reals))

    def white(self, kind: Kind, highest: float) -> float:
        """The value that becomes 255.

        Raises:
            UnreadableError: `highest` is above it, and the user did not say that this is white.
        """
        value = {"integers": self.integers, "reals": self.reals}.get(kind, 255.0)
        if highest > value and not self.given:
            raise UnreadableError(
                f"holds {highest:g}, the training pictures end at {value:g}: state full_scale in [data]"
            )
        return value

    def pixels(self, peaks: "Sequence[Peak]") -> str:
        """What uint8 stands for in pictures of these peaks, in words; empty if none is deeper than 8 bits."""
        kinds = {peak.kind for peak in peaks}
        whites = [f"{value:g}" for kind, value in (("integers", self.integers), ("reals", self.reals)) if kind in kinds]
        how = "stated" if self.given else "found"
        return f"uint8, linear: 255 is {' and '.join(whites)} ({how}) in greys deeper than 8 bits" if whites else ""


def check_colour(peaks: Sequence[Peak], source: str) -> None:
    """Refuse 16-bit colour that a camera of fewer bits filled: of its lower bits, all it has, nothing would be read.

    Raises:
        DataError: no value reaches a quarter of the range.
    """
    highest = max((peak.value for peak in peaks if peak.kind == "deep colour"), default=0.0)
    if 0 < highest < 64:
        raise DataError(
            f"{source}: 16-bit colour pictures whose values end at {256 * highest + 255:.0f}: only the upper 8 of the "
            "16 bits are read, which leaves too little of them",
            "convert them to 8 bits a channel",
        )


def _filled(highest: float) -> float:
    return float(2 ** next(bits for bits in BITS if highest < 2**bits) - 1)


def kind_of(image: Image.Image) -> Kind:
    """How deep an opened picture's values are; its pixels need not be loaded."""
    if image.mode[0] in "IF":
        return "integers" if image.mode[0] == "I" else "reals"
    raw = str([tile[3] for tile in getattr(image, "tile", [])])
    return "deep colour" if ";16" in raw else "bytes"


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """A file opened by Pillow, its header read. Whatever goes wrong, here or with the picture, is `UnreadableError`."""
    try:
        with Image.open(path) as image:
            if image.format == "EPS":
                raise UnreadableError("EPS is a program, not a picture")
            yield image
    except UnreadableError:
        raise
    except UnidentifiedImageError as error:
        raise UnreadableError("not a picture that Pillow knows") from error
    except Exception as error:  # a damaged file makes Pillow's plugins raise anything
        text = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise UnreadableError(text.splitlines()[0]) from error


def leave_warnings_alone() -> None:
    """Let `bombs_are_errors` do nothing in this thread, since others run beside it."""
    _thread.leaves_warnings_alone = True


@contextmanager
def bombs_are_errors() -> Iterator[None]:
    """Pillow's warnings kept from the screen, but for that of decompression bombs, which is raised.

    For the main thread, around the threads that decode: filters of warnings belong to the process. In a thread that
    leaves them alone nothing is changed.
    """
    if getattr(_thread, "leaves_warnings_alone", False):
        yield
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def decode(path: Path, channels: int, size: int, full_scale: FullScale) -> NDArray[np.uint8]:
    """The picture cropped to its centre square and scaled: uint8 (channels, size, size).

    Raises:
        UnreadableError: the file is damaged, no picture, or holds values above the full scale.
    """
    with opened(path) as image:
        return _captured(image, channels, size, full_scale)


def look(path: Path, channels: int, size: int) -> NDArray[np.uint8] | Peak:
    """The same for pictures that need no scale; of deeper ones the largest value.

    Raises:
        UnreadableError: the file is damaged or no picture.
    """
    with opened(path) as image:
        kind = kind_of(image)
        return _captured(image, channels, size, FullScale()) if kind == "bytes" else Peak(kind, _peak(image, kind))


def look_at_header(path: Path) -> Peak | None:
    """Nothing for pictures that need no scale, their pixels left unread; of deeper ones the largest value.

    Raises:
        UnreadableError: the header is damaged, or a deeper picture is.
    """
    with opened(path) as image:
        kind = kind_of(image)
        return None if kind == "bytes" else Peak(kind, _peak(image, kind))


def shown(path: Path) -> str:
    """A path on one line, whatever its name holds."""
    text = str(path).encode("utf-8", "backslashreplace").decode()
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def _peak(image: Image.Image, kind: Kind) -> float:
    if kind == "deep colour":
        return float(np.asarray(image.convert("RGB")).max(initial=0))
    return float(_values(image).max(initial=0))


def _values(image: Image.Image) -> NDArray[np.float32]:
    values: NDArray[np.float32] = np.asarray(image).astype(np.float32)
    if not np.isfinite(values).all():
        raise UnreadableError("holds values that are not numbers")
    if values.min(initial=0) < 0:
        raise UnreadableError(f"holds negative values, down to {values.min():g}: greys begin at 0")
    return values


def _captured(image: Image.Image, channels: int, size: int, full_scale: FullScale) -> NDArray[np.uint8]:
    upright = ImageOps.exif_transpose(image)
    if kind_of(image) in ("integers", "reals"):
        return _deep(upright, channels, size, full_scale)
    square = _centre_square(_on_ground(upright).convert(MODES[channels]) if channels < 4 else upright.convert("RGBA"))
    pixels = np.asarray(square.resize((size, size), Image.Resampling.BILINEAR))
    return pixels.reshape(size, size, channels).transpose(2, 0, 1)


def _deep(image: Image.Image, channels: int, size: int, full_scale: FullScale) -> NDArray[np.uint8]:
    values = _values(image)
    white = full_scale.white(kind_of(image), float(values.max(initial=0)))
    grey = np.minimum(values * (255 / white), 255)
    clear = image.info.get("transparency")
    if isinstance(clear, int):
        grey = np.where(values == clear, GROUND, grey)
    square = _centre_square(Image.fromarray(grey.astype(np.float32)))
    scaled = np.asarray(square.resize((size, size), Image.Resampling.BILINEAR))
    byte = np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
    opaque = np.full_like(byte, 255)
    return np.stack([byte, byte, byte, opaque][:channels])


def _on_ground(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image
    return Image.alpha_composite(Image.new("RGBA", image.size, (GROUND,) * 3 + (255,)), image.convert("RGBA"))


def _centre_square(image: Image.Image) -> Image.Image:
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))
