"""Runs a unit's operators on torch tensors.

The supernet and an extracted sub-network differ only in where their weights come from, so both give the interpreter
their `Layers` and share everything else. A network has no second description in torch: what a unit's `operators` say
is what runs.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from splitkit.space.network import PlacedUnit
from splitkit.space.operators import NORMALISE_SCALE, NORMALISE_SHIFT, Operator


class Layers(Protocol):
    """The operators of one unit that need weights, constants or straight-through gradients."""

    def conv(self, name: str, operator: Operator, x: Tensor) -> Tensor:
        """Convolution with its batch norm or bias: (batch, in, h, w) -> (batch, out, h', w')."""
        ...

    def linear(self, name: str, operator: Operator, x: Tensor) -> Tensor:
        """Fully connected layer: (batch, in) -> (batch, out)."""
        ...

    def float16(self, x: Tensor) -> Tensor:
        """What a float16 link carries of `x`."""
        ...

    def quantise(self, x: Tensor) -> Tensor:
        """What a uint8 link carries of `x`."""
        ...

    def dequantise(self, x: Tensor) -> Tensor:
        """float32 from what a uint8 link carried."""
        ...


@lru_cache(maxsize=16_384)
def operators_of(placed: PlacedUnit) -> tuple[Operator, ...]:
    """Operators of a unit taken alone. Cached: training asks for the same few units again and again."""
    return tuple(placed.unit.operators(placed.unit.input_tensors(), placed.slot))


def layer_name(operator: Operator) -> str:
    """Name of an operator within its unit: `expand` for the tensor `p0.stride.expand`."""
    return operator.output.name.rpartition(".")[2]


def run(operators: Sequence[Operator], x: Tensor, layers: Layers) -> Tensor:
    """Run a unit. Batches are free: only channels, windows, strides and views are read off the operators."""
    values = {operators[0].inputs[0].name: x}
    for operator in operators:
        inputs = [values[tensor.name] for tensor in operator.inputs]
        values[operator.output.name] = _apply(operator, inputs, layers)
    return values[operators[-1].output.name]


def _apply(operator: Operator, inputs: list[Tensor], layers: Layers) -> Tensor:
    x = inputs[0]
    match operator.kind:
        case "conv":
            return layers.conv(layer_name(operator), operator, x)
        case "linear":
            return layers.linear(layer_name(operator), operator, x)
        case "activation":
            return activate(operator.activation, x)
        case "add":
            return x + inputs[1]
        case "scale":
            return x * inputs[1]
        case "cast":
            return layers.float16(x) if operator.output.dtype == "float16" else x.float()
        case "quantise":
            return layers.quantise(x)
        case "dequantise":
            return layers.dequantise(x)
        case "resize":
            return F.interpolate(x, size=operator.output.shape[2:], mode="bilinear", align_corners=False)
        case "normalise":
            return x * NORMALISE_SCALE + NORMALISE_SHIFT
        case "pool":
            return F.adaptive_avg_pool2d(x, 1)
        case "flatten":
            return x.flatten(1)
        case "stack_views":
            return x.reshape(-1, operator.output.shape[1], x.shape[2], x.shape[3])
        case "mean_views":
            return x.reshape(-1, operator.inputs[0].shape[0], x.shape[1]).mean(1)


def activate(function: str, x: Tensor) -> Tensor:
    """The activation functions that operators name."""
    match function:
        case "relu":
            return F.relu(x)
        case "relu6":
            return F.relu6(x)
        case "hard_swish":
            return F.hardswish(x)
        case "hard_sigmoid":
            return F.hardsigmoid(x)
        case "swish":
            return x * torch.sigmoid(x)
        case _:
            raise ValueError(f"unknown activation {function!r}")
