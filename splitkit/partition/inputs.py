"""What a model is run on to prove its halves: the user's arrays, or noise."""

from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from splitkit.errors import DataError
from splitkit.space.tensor import TensorSpec

FRAMES = 64


def noise(tensor: TensorSpec, frames: int = FRAMES, seed: int = 0) -> NDArray[Any]:
    """Seeded frames for an input, (frames, *shape): all bytes alike for integers, else normal with variance 1."""
    rng, shape, dtype = np.random.default_rng(seed), (frames, *tensor.shape), np.dtype(tensor.dtype)
    if dtype.kind in "iu":
        return rng.integers(0, 256, shape).astype(dtype)
    return rng.standard_normal(shape).astype(dtype)


def read_inputs(path: Path, tensor: TensorSpec) -> NDArray[Any]:
    """Frames for an input out of an .npy or .npz file, (frames, *shape).

    Args:
        path: one array, or one of the input's name among several: (frames, *shape), whose batch of 1 may be left out.
        tensor: the input.

    Raises:
        DataError: the file cannot be read, or holds something else.
    """
    try:
        content = np.load(path, allow_pickle=False)
        arrays = {name: content[name] for name in content.files} if hasattr(content, "files") else {"": content}
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise DataError(f"{path}: not an .npy or .npz file of numbers: {error}") from error
    if tensor.name not in arrays and len(arrays) != 1:
        names = ", ".join(sorted(arrays)) or "nothing"
        raise DataError(f"{path}: holds {names}", f"one array is wanted, or one called {tensor.name!r}")
    found: NDArray[Any] = arrays[tensor.name] if tensor.name in arrays else next(iter(arrays.values()))
    if found.ndim == len(tensor.shape) and found.shape[1:] == tensor.shape[1:]:
        found = found[:, None]
    if found.ndim < 1 or found.shape[1:] != tensor.shape or str(found.dtype) != tensor.dtype or not len(found):
        raise DataError(
            f"{path}: {found.dtype} {list(found.shape)}",
            f"{tensor.dtype} [frames, {', '.join(map(str, tensor.shape))}] is wanted",
        )
    return np.ascontiguousarray(found)
