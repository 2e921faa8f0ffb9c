"""Schedules: one kernel specification in, one function out. Rules by family, parameters from the machine model."""

from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitkit.compiler.machine import Machine
from splitkit.compiler.spec import ConvSpec, LayoutSpec, LinearSpec, PoolSpec, Spec, Tile

Weights = NDArray[np.float32]


@dataclass(frozen=True)
class Scheduled:
    """A private `tirx.PrimFunc` on raw pointers, in lowered form.

    Its parameters are the specification's operands in order, then a workspace pointer if `workspace_bytes` > 0. All are
    aligned to 64 bytes and do not overlap. The function needs no lowering but `LowerIntrin`, and no pass that moves
    allocations (`StorageRewrite`) may touch it.
    """

    func: Any
    workspace_bytes: int


def emit(spec: Spec, machine: Machine) -> Scheduled:
    """The kernel of a specification."""
    from splitkit.compiler.kernels import conv, depthwise, layout, linear, pool

    workspace = 0
    match spec:
        case ConvSpec() if depthwise.applies(spec):
            code, operands = depthwise.conv(spec, machine)
        case ConvSpec():
            code, operands, workspace = conv.conv(spec, machine)
        case LinearSpec():
            code, operands = linear.linear(spec, machine)
        case PoolSpec():
            code, operands, workspace = pool.pool(spec, machine)
        case LayoutSpec():
            code, operands = layout.layout(spec, machine)
    return Scheduled(code.function(operands), workspace)


def pack_weight(spec: ConvSpec | LinearSpec, weight: NDArray[Any], machine: Machine) -> Weights:
    """OIHW (or (out, in)) float32 in the layout the kernel of `spec` reads."""
    from splitkit.compiler.kernels import conv, depthwise, linear

    weight = np.ascontiguousarray(weight, np.float32)
    match spec:
        case ConvSpec() if depthwise.applies(spec):
            return depthwise.pack(spec, weight)
        case ConvSpec():
            return conv.pack(spec, weight, machine)
        case LinearSpec():
            return linear.pack(spec, weight, machine)


def pack_bias(spec: ConvSpec | LinearSpec, bias: NDArray[Any], machine: Machine) -> Weights:
    """(out,) float32 padded with zeros to the channels the kernel of `spec` computes."""
    from splitkit.compiler.kernels import conv, depthwise, linear

    bias = np.ascontiguousarray(bias, np.float32)
    match spec:
        case ConvSpec() if depthwise.applies(spec):
            length = ceil(len(bias) / spec.out_block) * spec.out_block
        case ConvSpec():
            return conv.pack_bias(spec, bias, machine)
        case LinearSpec():
            length = linear.plan(spec, machine).padded_channels
    return np.pad(bias, (0, length - len(bias)))


def candidates(spec: Spec, machine: Machine) -> tuple[Tile, ...]:
    """Tiles worth a try when a kernel is tuned, the most promising first; none where nothing can be chosen."""
    from splitkit.compiler.kernels import conv, depthwise, linear

    match spec:
        case ConvSpec() if depthwise.applies(spec):
            return depthwise.candidates(spec, machine)
        case ConvSpec():
            return conv.candidates(spec, machine)
        case LinearSpec():
            return linear.candidates(spec, machine)
        case PoolSpec() | LayoutSpec():
            return ()
