"""What code generation needs, from a program or from a list of unconnected kernels: functions, addresses, constants."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from splitkit.compiler.arena import ALIGNMENT, Plan, aligned, plan_memory
from splitkit.compiler.constants import pack_constants
from splitkit.compiler.kernels import key
from splitkit.compiler.kernels.protocol import KernelFunction, KernelSpec
from splitkit.compiler.lowering import lower_kernels
from splitkit.compiler.machine import Machine
from splitkit.compiler.memory import MemoryPlan
from splitkit.compiler.module import ARENA, WEIGHTS, Address, PlacedCall
from splitkit.compiler.program import Buffer, Call, Constant, Program
from splitkit.space.tensor import TensorSpec


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


def place_kernels(specs: Sequence[KernelSpec], machine: Machine, alignment: int = ALIGNMENT) -> Build:
    """Every kernel on activations, constants and workspace of its own."""
    rng = np.random.default_rng(0)
    buffers: dict[str, Buffer] = {}
    calls = []
    for i, spec in enumerate(specs):
        operands: list[str | Constant] = []
        for k, operand in enumerate(spec.sample(rng)):
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
