"""A bundle's sample: real images, and what the unsplit network makes of them."""

import struct
import zipfile
import zlib
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from splitkit.errors import BundleError
from splitkit.inside import open_inside

SAMPLE = "sample.npz"
SAMPLE_FRAMES = 16
MOST_FRAMES = 64
_MALFORMED = (
    OSError, ValueError, KeyError, EOFError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error,
    struct.error, MemoryError,
)  # fmt: skip
"""What zipfile and numpy raise on damaged, encrypted or unknown archives."""


def write_sample(directory: Path, images: NDArray[Any], scores: NDArray[np.float32]) -> None:
    """Write the first frames of `images` (frames, views, channels, size, size) and `scores` (frames, classes)."""
    np.savez(directory / SAMPLE, images=images[:SAMPLE_FRAMES], scores=scores[:SAMPLE_FRAMES])


def read_sample(
    directory: Path, image: tuple[int, ...], dtype: str, scores: tuple[int, ...]
) -> tuple[NDArray[Any], NDArray[np.float32]]:
    """Images, `dtype` (frames, *image), and scores, float32 (frames, *scores), of a bundle's `sample.npz`.

    Nothing is unpickled, and nothing is unpacked: arrays are no larger than the file.

    Raises:
        BundleError: the file is damaged, or its arrays are others.
    """
    file = directory / SAMPLE
    try:
        with open_inside(directory, SAMPLE) as opened, zipfile.ZipFile(opened) as archive:
            if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
                raise ValueError("compressed, which splitkit never writes")
            images = _read(lambda: archive.open("images.npy"), np.dtype(dtype), image)
            expected = _read(lambda: archive.open("scores.npy"), np.dtype(np.float32), scores)
    except _MALFORMED as error:
        raise BundleError(f"{file}: not a sample: {str(error)[:200]!r}", "export the bundle again") from error
    if len(images) != len(expected):
        raise BundleError(f"{file}: {len(images)} images, {len(expected)} scores", "export the bundle again")
    return images, expected


def _read(member: Callable[[], IO[bytes]], dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """An array of `dtype`, shape (frames, *shape): the header is checked before the rest is read."""
    with member() as source:
        if npy.read_magic(source) != (1, 0):
            raise ValueError("another version of numpy's format")
        found, fortran, kind = npy.read_array_header_1_0(source)
        if fortran or kind != dtype or len(found) < 1 or found[1:] != shape or not 1 <= found[0] <= MOST_FRAMES:
            raise ValueError(f"{kind} {list(found)}, where {dtype} [frames, {', '.join(map(str, shape))}] should be")
        size = prod(found) * dtype.itemsize
        content = source.read(size)
        if len(content) != size or source.read(1):
            raise ValueError("another number of bytes than its shape has")
    return np.frombuffer(bytearray(content), dtype).reshape(found)
