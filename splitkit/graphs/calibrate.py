"""The range that a tensor's codes should hold, from what the tensor is on real inputs; and models quantised by it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from splitkit.errors import ModelError
from splitkit.graphs.int8.quantise import quantised, quantised_tensors
from splitkit.graphs.narrow import affine
from splitkit.graphs.session import Arrays, Session
from splitkit.graphs.shapes import value_infos

NARROWER = np.geomspace(1.0, 0.1, 24)
"""Shares of a tensor's whole range that are tried."""


def quantise(model: onnx.ModelProto, frames: Sequence[Arrays]) -> onnx.ModelProto:
    """A float model in int8 (docs/int8.md): ordinary ONNX, with the ranges that lose least of its activations.

    `examples/quantise.py` shows it at work; in short:

        int8 = sk.quantise(onnx.load("theirs.onnx"), [{"image": image} for image in images])

    Args:
        model: with static shapes, of opset 13 or later, its batch norms folded.
        frames: real inputs by name, one run each; a few dozen.

    Raises:
        ModelError: its opset is older, ONNX Runtime cannot run it, or there are no frames or one lacks an input.
    """
    if not frames:
        raise ModelError("no frames to take ranges from", "give a few dozen real inputs")
    return quantised(model, ranges_of(model, quantised_tensors(model), frames))


def ranges_of(
    model: onnx.ModelProto, tensors: Sequence[str], frames: Sequence[Arrays]
) -> dict[str, tuple[float, float]]:
    """Of each tensor the range whose uint8 codes lose least of it.

    Args:
        frames: the model's inputs by name, one run each.

    Raises:
        ModelError: ONNX Runtime cannot run the model.
    """
    found = values_of(model, tensors, frames)
    return {name: least_error_range(found[name]) for name in tensors}


def values_of(model: onnx.ModelProto, tensors: Sequence[str], frames: Sequence[Arrays]) -> Mapping[str, NDArray[Any]]:
    """Tensors of a model, inner ones too, on every frame: (frames, *shape)."""
    whole, values = onnx.ModelProto(), value_infos(model)
    whole.CopyFrom(model)
    stated = {value.name for value in model.graph.output}
    whole.graph.output.extend(values[name] for name in tensors if name not in stated)
    session = Session(whole)
    runs = [session(frame) for frame in frames]
    return {name: np.stack([run[name] for run in runs]) for name in tensors}


def least_error_range(values: NDArray[Any]) -> tuple[float, float]:
    """The range, the values' own or a narrower one that clips the largest, with the least mean square error.

    As TensorRT's and others' calibration by mean square error. What is not finite is left out.
    """
    values = values[np.isfinite(values)].astype(np.float32)
    if not values.size:
        return 0.0, 0.0
    low, high = float(values.min()), float(values.max())
    errors = [_error(values, share * low, share * high) for share in NARROWER]
    share = float(NARROWER[int(np.argmin(errors))])
    return share * low, share * high


def _error(values: NDArray[Any], low: float, high: float) -> float:
    scale, zero_point = affine(low, high)
    codes = np.clip(np.rint(values / np.float32(scale)) + zero_point, 0, 255)
    return float(np.square((codes - zero_point) * np.float32(scale) - values, dtype=np.float64).mean())
