"""What code generation needs, from a program or from a list of unconnected kernels: functions, addresses, constants."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitkit.compiler.arena import ALIGNMENT, Plan, aligned, plan_memory
from splitkit.compiler.constants import pack_constants
from splitkit.compiler.lowering import KernelFunction, lower_kernels
from splitkit.compiler.machine import Machine
from splitkit.compiler.memory import MemoryPlan
from splitkit.compiler.module import ARENA, WEIGHTS, Address, PlacedCall
from splitkit.compiler.program import Buffer, Call, Constant, Program
from splitkit.compiler.spec import (
    AnySpec,
    ConvSpec,
    ElementwiseSpec,
    FallbackSpec,
    LayoutSpec,
    LinearSpec,
    MatmulSpec,
    PoolSpec,
    ResizeSpec,
    RowSpec,
    key,
    packed_shape,
)
from splitkit.graphs.tensor import TensorSpec


@dataclass(frozen=True)
class Build:
    """Distinct kernels with their names, placed calls, constants, and sizes of the regions.

    `fill` lists (offset, bytes, dtype) of arena buffers that must hold values before the first run. `plan` is how the
    arena came about; unconnected kernels have none.
    """

    kernels: list[KernelFunction]
    labels: list[str]
    calls: list[PlacedCall]
    weights: NDArray[np.uint8]
    arena_bytes: int
    fill: list[tuple[int, int, str]] = field(default_factory=list)
    plan: Plan | None = None

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes of the weights and the arena as the entries declare them, never zero."""
        return {WEIGHTS: int(self.weights.nbytes), ARENA: max(self.arena_bytes, ALIGNMENT)}


def memory_plan(build: Build, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> MemoryPlan:
    """A build's memory beside the caller's buffers."""
    return MemoryPlan(
        build.arena_bytes, int(build.weights.nbytes), sum(t.bytes for t in inputs), sum(t.bytes for t in outputs)
    )


def _distinct(calls: Sequence[Call], machine: Machine) -> tuple[list[KernelFunction], list[str], list[int]]:
    """Functions and names of distinct specifications, and which of them each call is."""
    specs = dict.fromkeys(call.spec for call in calls)
    order = {spec: i for i, spec in enumerate(specs)}
    names = [key(spec).replace("-", "_") for spec in specs]
    return lower_kernels(list(specs), machine), names, [order[call.spec] for call in calls]


def place_program(program: Program, machine: Machine, alignment: int = ALIGNMENT) -> Build:
    """Plan a program's memory, pack its constants and resolve every operand to an address."""
    machine = _worth_forking(program, machine)
    kernels, labels, which = _distinct(program.calls, machine)
    workspaces = {i: kernels[k].workspace_bytes for i, k in enumerate(which)}
    plan = plan_memory(program, workspaces, alignment)
    constants = pack_constants(program.calls, machine, alignment)
    regions = {name: name for name in program.inputs}
    regions |= {
        program.root(buffer)[0].name: name for buffer, name in zip(program.outputs, program.output_names, strict=True)
    }
    calls = []
    for i, call in enumerate(program.calls):
        addresses = []
        for position, operand in enumerate(call.operands):
            if isinstance(operand, Constant):
                addresses.append(Address(WEIGHTS, constants.offsets[i, position]))
                continue
            root, offset = program.root(operand)
            if root.name in regions:
                addresses.append(Address(regions[root.name], offset))
            else:
                addresses.append(Address(ARENA, plan.offsets[root.name] + offset))
        if workspaces[i]:
            addresses.append(Address(ARENA, plan.workspaces[i]))
        calls.append(PlacedCall(which[i], tuple(addresses)))
    return Build(kernels, labels, calls, constants.data, plan.arena_bytes, plan=plan)


def _worth_forking(program: Program, machine: Machine) -> Machine:
    """The machine, reduced to one thread if all the program's work is too little to fork for."""
    from splitkit.compiler.codegen.parallel import RUN_NS, least_ns

    def busy_ns(call: Call) -> float:
        return least_ns(machine, call.spec.macs, sum(program.buffers[n].bytes for n in (*call.reads, call.writes)))

    return machine if sum(map(busy_ns, program.calls)) > RUN_NS else replace(machine, threads=1)


def place_kernels(specs: Sequence[AnySpec], machine: Machine, alignment: int = ALIGNMENT) -> Build:
    """Every kernel on activations, constants and workspace of its own."""
    rng = np.random.default_rng(0)
    buffers: dict[str, Buffer] = {}
    calls = []
    for i, spec in enumerate(specs):
        operands: list[str | Constant] = []
        for k, operand in enumerate(sample_operands(spec, rng)):
            if isinstance(operand, Constant):
                operands.append(operand)
                continue
            buffers[f"{i}.{k}"] = Buffer(f"{i}.{k}", *operand)
            operands.append(f"{i}.{k}")
        calls.append(Call(spec, tuple(operands), ""))
    kernels, labels, which = _distinct(calls, machine)
    constants = pack_constants(calls, machine, alignment)
    offsets: dict[str, int] = {}
    size = 0
    for buffer in buffers.values():
        offsets[buffer.name] = size
        size += aligned(buffer.bytes, alignment)
    placed = []
    for i, call in enumerate(calls):
        addresses = [
            Address(WEIGHTS, constants.offsets[i, p]) if isinstance(o, Constant) else Address(ARENA, offsets[o])
            for p, o in enumerate(call.operands)
        ]
        workspace = kernels[which[i]].workspace_bytes
        if workspace:
            addresses.append(Address(ARENA, size))
            size += aligned(workspace, alignment)
        placed.append(PlacedCall(which[i], tuple(addresses)))
    fill = [(offsets[b.name], b.bytes, b.dtype) for b in buffers.values()]
    return Build(kernels, labels, placed, constants.data, size, fill)


def sample_operands(spec: AnySpec, rng: np.random.Generator) -> list[tuple[tuple[int, ...], str] | Constant]:
    """Operands a kernel can be timed on: (shape, dtype) of its activations, random constants; the output last."""

    def random(*shape: int) -> NDArray[Any]:
        return rng.uniform(-1, 1, shape).astype(np.float32)

    found: list[tuple[tuple[int, ...], str] | Constant] = []
    match spec:
        case ConvSpec():
            out = packed_shape(spec.batch, spec.out_channels, spec.out_size, spec.out_block)
            found.append((packed_shape(spec.batch, spec.in_channels, spec.size, spec.in_block), "float32"))
            if spec.input_scale:
                found.append((packed_shape(spec.batch, spec.in_channels, (1, 1), spec.in_block), "float32"))
            found.append(Constant(random(spec.out_channels, spec.in_channels // spec.groups, *spec.kernel), "weight"))
            if spec.epilogue.bias:
                found.append(Constant(random(spec.out_channels), "bias"))
            if spec.epilogue.residual:
                found.append((out, "float32"))
            found.append((out, "float32"))
        case LinearSpec():
            found.append(((spec.batch, spec.in_features), "float32"))
            found.append(Constant(random(spec.out_features, spec.in_features), "weight"))
            if spec.epilogue.bias:
                found.append(Constant(random(spec.out_features), "bias"))
            found.append(((spec.batch, spec.out_features), "float32"))
        case PoolSpec():
            found.append((packed_shape(spec.batch, spec.channels, spec.size, spec.block), "float32"))
            found.append((packed_shape(spec.batch, spec.channels, spec.out_size, spec.block), "float32"))
        case LayoutSpec():
            found.append((packed_shape(spec.batch, spec.channels, spec.size, spec.in_block), "float32"))
            found.append((packed_shape(spec.batch, spec.channels, spec.size, spec.out_block), "float32"))
        case ElementwiseSpec():
            for operand in spec.inputs:
                extents = [e for e, varies in zip(spec.shape, operand.axes, strict=True) if varies]
                found.append((tuple(extents), operand.dtype))
            found.append((spec.shape, spec.dtype))
        case MatmulSpec():
            left, right = (1 if spec.shared == side else spec.batch for side in ("left", "right"))
            found.append(((left, spec.rows, spec.depth), "float32"))
            found.append(((right, spec.depth, spec.columns), "float32"))
            found.append(((spec.batch, spec.rows, spec.columns), "float32"))
        case RowSpec():
            found.append(((spec.rows, spec.length), "float32"))
            vectors = (1 + spec.bias) if spec.function == "layer_norm" else 0
            found += [Constant(random(spec.length), "raw") for _ in range(vectors)]
            found.append(((spec.rows, spec.length), "float32"))
        case ResizeSpec():
            found.append(((spec.planes, *spec.size), spec.dtype))
            found += [Constant(random(size) * 0.5 + 0.5, "raw") for size in spec.out_size]
            found.append(((spec.planes, *spec.out_size), "float32"))
        case FallbackSpec():
            found += zip(spec.shapes, spec.dtypes, strict=True)
    return found
