"""What a model is run on to prove its halves and calibrate its link: the user's arrays or pictures, or noise."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from splitkit.errors import DataError, reason
from splitkit.graphs.session import Arrays
from splitkit.space.tensor import TensorSpec

FRAMES = 64


def noise(tensor: TensorSpec, frames: int = FRAMES, seed: int = 0) -> NDArray[Any]:
    """Seeded frames for an input, (frames, *shape): all bytes alike for integers, else normal with variance 1."""
    rng, shape, dtype = np.random.default_rng(seed), (frames, *tensor.shape), np.dtype(tensor.dtype)
    if dtype.kind in "iu":
        return rng.integers(0, 256, shape).astype(dtype)
    return rng.standard_normal(shape).astype(dtype)


def noisy(tensors: Sequence[TensorSpec], frames: int = FRAMES) -> list[Arrays]:
    """Seeded frames for several inputs, each of another seed."""
    found = {tensor.name: noise(tensor, frames, seed) for seed, tensor in enumerate(tensors)}
    return [{name: arrays[i] for name, arrays in found.items()} for i in range(frames)]


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
        why = f": {reason(error)}" if isinstance(error, OSError) else ""
        raise DataError(f"{path}: not an .npy or .npz file of numbers{why}") from error
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


def read_frames(path: Path, tensors: Sequence[TensorSpec]) -> list[Arrays]:
    """Frames for a model's inputs out of a file, or out of a folder of pictures for a model of one input.

    Args:
        path: as `read_inputs` takes it, or a folder: every picture in it, its centre square at the input's size, as
            bytes, or divided by 255 where the input is float32.

    Raises:
        DataError: as `read_inputs`; or there is no picture that can be read, or the input is no picture.
    """
    if path.is_dir():
        if len(tensors) != 1:
            raise DataError(
                f"{path}: pictures are for models of one input, this has {len(tensors)}", "give an .npz file"
            )
        pixels = read_pictures(path, tensors[0])
        if tensors[0].dtype != "uint8":
            return [{tensors[0].name: (picture.astype(np.float32) / 255)[None]} for picture in pixels]
        return [{tensors[0].name: picture[None]} for picture in pixels]
    found = {tensor.name: read_inputs(path, tensor) for tensor in tensors}
    counts = {len(frames) for frames in found.values()}
    if len(counts) != 1:
        raise DataError(f"{path}: inputs have {', '.join(map(str, sorted(counts)))} frames", "as many of each")
    return [{name: frames[i] for name, frames in found.items()} for i in range(counts.pop())]


def read_labels(path: Path, frames: int) -> NDArray[np.int64] | None:
    """Class numbers of the frames, `labels` of an .npz file, (frames,); None where there are none.

    Raises:
        DataError: they are something else than one whole number a frame.
    """
    if path.suffix != ".npz":
        return None
    with np.load(path, allow_pickle=False) as content:
        if "labels" not in content.files:
            return None
        labels: NDArray[Any] = content["labels"]
    if labels.shape != (frames,) or labels.dtype.kind not in "iu" or labels.min(initial=0) < 0:
        raise DataError(f"{path}: labels: {labels.dtype} {list(labels.shape)}", f"whole numbers [{frames}] are wanted")
    return labels.astype(np.int64)


def read_pictures(folder: Path, tensor: TensorSpec) -> list[NDArray[np.uint8]]:
    """The pictures of a folder at an input's size, each (channels, size, size).

    Raises:
        DataError: the input is no square picture, or none can be read.
    """
    from splitkit.data.decode import FullScale, UnreadableError, decode

    channels, height, width = tensor.shape[1:] if len(tensor.shape) == 4 and tensor.shape[0] == 1 else (0, 0, 0)
    if channels not in (1, 3) or height != width or tensor.dtype not in ("uint8", "float32"):
        raise DataError(
            f"input {tensor.name!r}: {tensor.dtype} {list(tensor.shape)}",
            f"pictures are for squares of 1 or 3 channels; give an .npz file instead of {folder}",
        )
    found = []
    for path in sorted(file for file in folder.rglob("*") if file.is_file() and not file.name.startswith(".")):
        try:
            found.append(decode(path, channels, height, FullScale()))
        except UnreadableError:
            continue
    if not found:
        raise DataError(f"{folder}: holds no picture that can be read")
    return found
