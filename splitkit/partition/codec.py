"""Picture files in place of pixels: how large they become, what is left of the picture, what making them takes."""

import io
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isqrt
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, features

from splitkit.devices import get_device
from splitkit.profiles.schema import DeviceProfile

Picture = NDArray[np.uint8]
"""(channels, height, width)."""

Format = Literal["JPEG", "WEBP"]
FORMATS: tuple[Format, ...] = ("JPEG", "WEBP")

MODES = {1: "L", 3: "RGB"}
"""Pillow's word for pictures of so many channels; others are not encoded."""

EFFORT = 4
"""Pillow's own."""

REPEATS = 5
"""Runs that are timed."""

SIDE = 8
"""Pictures along either edge of the one that is timed, at most."""


@dataclass(frozen=True, slots=True)
class Codec:
    """A format, its quality from 1 to 100, and how much time WebP takes for smaller files, 0 to 6: as Pillow counts.

    JPEG has no such choice.
    """

    format: Format
    quality: int
    effort: int = EFFORT

    def encode(self, picture: Picture) -> bytes:
        """A file's content."""
        return self.written(as_image(picture))

    def written(self, image: Image.Image) -> bytes:
        """The same of Pillow's image."""
        with io.BytesIO() as file:
            more = {"method": self.effort} if self.format == "WEBP" else {}
            image.save(file, self.format, quality=self.quality, **more)
            return file.getvalue()

    def through(self, pictures: Sequence[Picture]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Pictures of one shape as they are after it, (n, channels, height, width), and the files' bytes (n,)."""
        files = [self.encode(picture) for picture in pictures]
        decoded = np.stack([decode(file, len(p)) for file, p in zip(files, pictures, strict=True)])
        return decoded, np.array([len(file) for file in files], dtype=np.int64)


def is_available(format_: Format) -> bool:
    """Whether Pillow was built with it here."""
    return bool(features.check({"JPEG": "jpg", "WEBP": "webp"}[format_]))


def as_image(picture: Picture) -> Image.Image:
    """Pillow's image of grey or colour."""
    return Image.fromarray(picture[0] if len(picture) == 1 else np.moveaxis(picture, 0, -1))


def decode(file: bytes, channels: int) -> Picture:
    """The picture in a file; what was grey is grey again, though WebP knows colour only."""
    pixels = np.asarray(Image.open(io.BytesIO(file)).convert(MODES[channels]))
    return pixels[None] if channels == 1 else np.moveaxis(pixels, -1, 0)


@dataclass(frozen=True)
class CodecTimes:
    """What encoding and decoding one picture take, us; None where the device is not this machine: nobody timed it."""

    encode_us: float | None
    decode_us: float | None

    @property
    def timed(self) -> str:
        """What was timed here, in words; empty for nothing."""
        return " and ".join(self._words(known=True))

    @property
    def missing(self) -> str:
        """What is not known, in words; empty for nothing."""
        return " and ".join(self._words(known=False))

    def _words(self, *, known: bool) -> list[str]:
        stages = {"encoding": self.encode_us, "decoding": self.decode_us}
        return [word for word, us in stages.items() if (us is not None) == known]


def time_codec(
    codec: Codec, pictures: Sequence[Picture], sensor: DeviceProfile, aggregator: DeviceProfile
) -> CodecTimes:
    """Encoding on the sensor and decoding on the aggregator, in Pillow, where a side is this machine: at its scale.

    Up to 64 pictures are timed as one, tiled, and a share of that is each one's: what Python adds to a call is no
    encoder's time, and a device's scale would multiply it.

    Args:
        pictures: of one shape, at least one.
    """
    tiled, count = _tiled(pictures)
    image = as_image(tiled)
    file = codec.written(image)
    return CodecTimes(
        _here(sensor, lambda: codec.written(image), count),
        _here(aggregator, lambda: Image.open(io.BytesIO(file)).load(), count),
    )


def _tiled(pictures: Sequence[Picture]) -> tuple[Picture, int]:
    """One picture of as many as make a square, and how many these are."""
    side = min(SIDE, isqrt(len(pictures)))
    rows = [np.concatenate(list(pictures[i * side : (i + 1) * side]), axis=2) for i in range(side)]
    return np.concatenate(rows, axis=1), side * side


def _here(profile: DeviceProfile, work: Callable[[], Any], count: int) -> float | None:
    """us a picture at the device's time scale, the median of some runs; None where the device is not this machine."""
    if not get_device(profile).here:
        return None
    work()
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        times.append((time.perf_counter() - start) / count)
    return float(np.median(times)) * 1e6 * profile.time_scale
