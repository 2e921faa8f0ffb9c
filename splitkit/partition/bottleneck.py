"""Reduce and recover put into a model that was trained without: a projection on what its features vary in most.

Two pointwise convolutions, as SplitNets' splitting module (Dong et al., CVPR 2022), but made from the data instead of
trained: the principal components of the features, over all images and positions.
"""

from collections.abc import Sequence
from math import ceil
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from splitkit.errors import ModelError
from splitkit.graphs.calibrate import values_of
from splitkit.graphs.narrow import Altered
from splitkit.graphs.seam import Seam
from splitkit.graphs.session import Arrays


def with_bottleneck(model: onnx.ModelProto, tensors: Sequence[str], ratio: float, frames: Sequence[Arrays]) -> Altered:
    """A copy of a model that sends fewer channels: `ratio` of them, rounded up, of each computed float32 tensor.

    Ahead of the cut a tensor's mean is taken off and it is projected on its first principal components (`reduce`),
    behind the cut that is undone (`recover`): of all linear bottlenecks of this width the one with the least mean
    square error of the features on these frames.

    Args:
        tensors: where to cut; what else crosses is reduced as well.
        ratio: in (0, 1].
        frames: the model's inputs by name, one run each.

    Raises:
        ModelError: it cannot be cut there, nothing that crosses is computed as float32 features (1, channels) or
            (1, channels, height, width), or ONNX Runtime cannot run it.
    """
    seam = Seam(model, tensors)
    odd = [name for name in seam.computed if len(seam.shapes[name]) not in (2, 4) or seam.shapes[name][0] != 1]
    if odd or not seam.computed:
        what = f"{odd[0]!r} is {list(seam.shapes[odd[0]])}" if odd else "nothing float32 is computed that crosses"
        raise ModelError(f"no bottleneck fits: {what}", "(1, channels) or (1, channels, height, width) is wanted")
    sent: dict[str, str] = {}
    for name, values in values_of(model, seam.computed, frames).items():
        _, channels, *size = seam.shapes[name]
        count = ceil(ratio * channels)
        mean, components = principal_components(np.moveaxis(values, 2, -1).reshape(-1, channels), count)
        weights = {"reduce": components, "recover": components.T}
        biases = {"reduce": -components @ mean, "recover": mean}
        flow = name
        for step in ("reduce", "recover"):
            shape = (*weights[step].shape, *(1 for _ in size))
            weight = seam.constant(f"{name}_{step}_weight", weights[step].reshape(shape).astype(np.float32))
            bias = seam.constant(f"{name}_{step}_bias", biases[step].astype(np.float32))
            kind: dict[str, Any] = {} if size else {"transB": 1}
            flow = seam.put("Conv" if size else "Gemm", [flow, weight, bias], f"{name}_{step}", **kind)
            seam.state(flow, TensorProto.FLOAT, (1, count if step == "reduce" else channels, *size))
            sent.setdefault(name, flow)
        seam.lead(name, flow)
    return Altered(seam.close(), sent)


def principal_components(samples: NDArray[Any], count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean (channels,) and the first components, orthonormal rows (count, channels), of samples (n, channels)."""
    samples = samples.astype(np.float64)
    mean = samples.mean(axis=0)
    _, vectors = np.linalg.eigh(np.cov(samples - mean, rowvar=False, bias=True).reshape(len(mean), len(mean)))
    return mean, vectors[:, ::-1][:, :count].T
