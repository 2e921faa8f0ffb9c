"""Operators: what the network says, one dataclass for all kinds, with named tensors and static shapes.

They are the bridge between a unit's description and everything that does not need weights: MACs, payload, memory
bounds and the ONNX graph from which a compiler reads its kernels.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal

from splitkit.space.tensor import TensorSpec

OperatorKind = Literal[
    "cast", "resize", "normalise", "conv", "activation", "add", "scale", "pool", "flatten", "linear",
    "quantise", "dequantise", "stack_views", "sum_views", "mean_views", "max_views", "softmax_views", "share_views",
]  # fmt: skip

NORMALISE_SCALE = 1 / 127.5
NORMALISE_SHIFT = -1.0
"""uint8 pixels become float32 in [-1, 1]: x * scale + shift."""

FAR = 1e4
"""How far below the others what is masked is put, ahead of a maximum or a softmax."""


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator. `inputs` are activations only; weights are implied by the kind and the shapes.

    Operators over views take them as the batch of their first input, and may take a second one, (views, 1, ...): what
    each view counts for in `sum_views`; in `max_views` and `softmax_views`, 1 for a view that is there and 0 for one
    that is not. `share_views` makes 1/n of n ones, 0 of zeros.

    A `conv` has square window `kernel`, `stride`, symmetric padding `kernel // 2`, `groups` and a bias (batch norm
    folded). `activation` names the function of an activation operator.
    """

    kind: OperatorKind
    inputs: tuple[TensorSpec, ...]
    output: TensorSpec
    kernel: int = 1
    stride: int = 1
    groups: int = 1
    activation: str = ""

    @property
    def macs(self) -> int:
        """Multiply-accumulates of convolutions and linear layers; 0 for the rest, as is usual."""
        if self.kind == "conv":
            return prod(self.output.shape) * self.inputs[0].shape[1] // self.groups * self.kernel**2
        if self.kind == "linear":
            return prod(self.output.shape) * self.inputs[0].shape[1]
        return 0

    @property
    def weight_elements(self) -> int:
        """Weights and biases."""
        outputs, inputs = self.output.shape[1], self.inputs[0].shape[1]
        if self.kind == "conv":
            return outputs * (inputs // self.groups * self.kernel**2 + 1)
        return outputs * (inputs + 1) if self.kind == "linear" else 0


def peak_activation_bytes(operators: Sequence[Operator], keep: Iterable[str] = ()) -> int:
    """Least memory for activations if every operator runs alone, in order: a lower bound on any compiled plan.

    Element-wise operators are taken to work in place, since every compiler fuses them; `keep` names tensors that stay
    alive to the end (graph outputs).
    """
    in_place = {"activation", "add", "scale", "cast", "normalise", "quantise", "dequantise", "flatten"}
    last_use = {tensor.name: i for i, op in enumerate(operators) for tensor in op.inputs}
    last_use |= dict.fromkeys(keep, len(operators))
    alive: dict[str, int] = {}
    peak = 0
    for i, op in enumerate(operators):
        for tensor in op.inputs:
            alive.setdefault(tensor.name, tensor.bytes)
        dying = [t.name for t in op.inputs if last_use[t.name] == i]
        reused = max((alive[name] for name in dying), default=0) if op.kind in in_place else 0
        alive[op.output.name] = op.output.bytes
        peak = max(peak, sum(alive.values()) - min(reused, op.output.bytes))
        for name in dying:
            del alive[name]
    return peak
