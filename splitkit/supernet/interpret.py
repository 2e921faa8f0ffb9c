"""Runs a unit's operators on torch tensors.

The supernet and an extracted sub-network differ only in where their weights come from, so both give the interpreter
their `Layers` and share everything else. A network has no second description in torch: what a unit's `operators` say
is what runs.
"""

from collections import Counter
from dataclasses import dataclass, replace
from functools import lru_cache, reduce
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from splitkit.autograd.activation import activate
from splitkit.space.network import PlacedUnit
from splitkit.space.operators import FAR, NORMALISE_SCALE, NORMALISE_SHIFT, Operator
from splitkit.space.units import PRESENT


class Layers(Protocol):
    """The operators of one unit that need weights, constants or straight-through gradients."""

    def conv(self, name: str, operator: Operator, x: Tensor, tail: "Tail") -> Tensor:
        """Convolution with its batch norm or bias, then `tail`: (batch, in, h, w) -> (batch, out, h', w')."""
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


@dataclass(frozen=True, slots=True)
class Tail:
    """What follows a convolution's batch norm, to be done with it in one go: an activation, then a sum.

    `activation` is empty for none, `residual` (batch, out, h', w') is None for none.
    """

    activation: str = ""
    residual: Tensor | None = None

    def apply(self, x: Tensor) -> Tensor:
        """Both, one by one."""
        x = activate(self.activation, x)
        return x if self.residual is None else self.residual + x


NO_TAIL = Tail()


@lru_cache(maxsize=16_384)
def operators_of(placed: PlacedUnit) -> tuple[Operator, ...]:
    """Operators of a unit taken alone. Cached: training asks for the same few units again and again."""
    return tuple(placed.unit.operators(placed.unit.input_tensors(), placed.slot))


def layer_name(operator: Operator) -> str:
    """Name of an operator within its unit: `expand` for the tensor `p0.stride.expand`."""
    return operator.output.name.rpartition(".")[2]


def run(operators: tuple[Operator, ...], x: Tensor, layers: Layers, present: Tensor | None = None) -> Tensor:
    """Run a unit. Batches are free: only channels, windows, strides and views are read off the operators.

    `present`, (batch, 1, 1, 1), is for units that take a mask; all views are there where it is None.
    """
    values = {_source(operators): x}
    if takes_mask(operators):
        values[PRESENT] = x.new_ones((len(x), 1, 1, 1), dtype=torch.float32) if present is None else present
    result = operators[-1].output.name
    for step in _steps(operators):
        inputs = [values[tensor.name] for tensor in step.operator.inputs]
        if step.operator.kind == "conv":
            tail = Tail(step.activation, values[step.residual] if step.residual else None)
            values[step.output] = layers.conv(layer_name(step.operator), step.operator, inputs[0], tail)
        else:
            values[step.output] = _apply(step.operator, inputs, layers)
    return values[result]


@lru_cache(maxsize=16_384)
def takes_mask(operators: tuple[Operator, ...]) -> bool:
    """Whether a unit is told which views are there."""
    return any(tensor.name == PRESENT for operator in operators for tensor in operator.inputs)


@lru_cache(maxsize=16_384)
def _source(operators: tuple[Operator, ...]) -> str:
    """What a unit reads from the one before it."""
    produced = {operator.output.name for operator in operators}
    read = (tensor.name for operator in operators for tensor in operator.inputs)
    return next(name for name in read if name != PRESENT and name not in produced)


@dataclass(frozen=True, slots=True)
class _Step:
    """An operator; of a convolution also the activation and the tensor added behind it (empty for none)."""

    operator: Operator
    output: str
    activation: str = ""
    residual: str = ""


@lru_cache(maxsize=16_384)
def _steps(operators: tuple[Operator, ...]) -> tuple[_Step, ...]:
    """The operators in order, what only a convolution's result goes through joined to it."""
    uses = Counter(tensor.name for operator in operators for tensor in operator.inputs)
    steps: list[_Step] = []
    for operator in operators:
        last, source = (steps[-1] if steps else None), operator.inputs[-1].name
        follows = last is not None and last.operator.kind == "conv" and last.output == source and uses[source] == 1
        if last is None or not follows or last.residual:
            steps.append(_Step(operator, operator.output.name))
        elif operator.kind == "activation" and not last.activation:
            steps[-1] = replace(last, output=operator.output.name, activation=operator.activation)
        elif operator.kind == "add":
            steps[-1] = replace(last, output=operator.output.name, residual=operator.inputs[0].name)
        else:
            steps.append(_Step(operator, operator.output.name))
    return tuple(steps)


def _by_view(x: Tensor, operator: Operator) -> tuple[Tensor, ...]:
    """The views of all frames, each (frames, ...), of a batch whose frames follow each other."""
    views = operator.inputs[0].shape[0]
    if x.shape[0] == views:
        return torch.split(x, 1)  # what is exported: one frame, without an axis more
    return torch.unbind(x.reshape(-1, views, *x.shape[1:]), 1)


def _apply(operator: Operator, inputs: list[Tensor], layers: Layers) -> Tensor:
    x = inputs[0]
    match operator.kind:
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
        case "sum_views":
            parts = _by_view(x, operator)
            if len(inputs) > 1:
                weights = _by_view(inputs[1], operator)
                parts = tuple(part * weight for part, weight in zip(parts, weights, strict=True))
            return reduce(torch.add, parts)
        case "mean_views":
            return reduce(torch.add, _by_view(x, operator)) * (1 / operator.inputs[0].shape[0])
        case "max_views":
            parts = _by_view(x, operator)
            if len(inputs) > 1:
                below = _by_view((inputs[1] - 1.0) * FAR, operator)
                parts = tuple(part + low for part, low in zip(parts, below, strict=True))
            return reduce(torch.maximum, parts)
        case "softmax_views":
            logits = x + (inputs[1] - 1.0) * FAR if len(inputs) > 1 else x
            return logits.reshape(-1, operator.inputs[0].shape[0]).softmax(-1).reshape(x.shape)
        case "share_views":
            count = reduce(torch.add, _by_view(x, operator))
            return x / count if len(count) == 1 else x / count.repeat_interleave(operator.inputs[0].shape[0], 0)
        case "conv":
            raise AssertionError("run with its tail")
