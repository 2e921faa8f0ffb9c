"""From an ONNX graph and a target to kernel calls: what every exporter that uses these kernels begins with."""

import json
from collections.abc import Mapping, Set
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from splitkit.compiler.kernel import Kernel
from splitkit.compiler.target import CompileTarget
from splitkit.space.tensor import TensorSpec

if TYPE_CHECKING:
    import onnx

    from splitkit.compiler.machine import Machine
    from splitkit.compiler.program import Call, Program
    from splitkit.graphs.reading.graph import Graph

NO_TUNING: Mapping[str, Any] = MappingProxyType({})


def read_graph(model: "onnx.ModelProto") -> "Graph":
    """The simplified graph of a model, in integers where it says so.

    Raises:
        ModelError: a shape is dynamic, or the graph cannot be read.
    """
    from splitkit.compiler.simplify import simplify
    from splitkit.graphs.int8.patterns import in_integers
    from splitkit.graphs.reading import read_onnx

    return simplify(in_integers(read_onnx(model)))


def edges(graph: "Graph") -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Inputs and outputs of a graph."""
    inputs, outputs = (
        tuple(TensorSpec(n, graph.types[n].shape, graph.types[n].dtype) for n in names)
        for names in (graph.inputs, graph.outputs)
    )
    return inputs, outputs


def machine_of(target: CompileTarget) -> "Machine":
    """The machine model of a target, resolved once per process.

    Raises:
        ModelError: TVM does not know the target.
    """
    return _machine_of(target.key())


@cache
def _machine_of(key: str) -> "Machine":
    from splitkit.compiler.machine import Machine

    return Machine.from_target(CompileTarget(**json.loads(key)))


def select_kernels(
    graph: "Graph", machine: "Machine", interior: Set[str] = frozenset(), tuning: Mapping[str, Any] = NO_TUNING
) -> "Program":
    """Kernel calls of a graph. `interior` tensors stay in the layout the kernels want; `tuning` is the target's.

    Raises:
        ModelError: an operator cannot be compiled.
    """
    from splitkit.compiler.machine import block_for
    from splitkit.compiler.selection import select
    from splitkit.compiler.tuning import retiled

    def block(channels: int) -> int:
        return block_for(channels, machine)

    return retiled(select(graph, block, interior), tuning)


def lower(model: "onnx.ModelProto", target: CompileTarget, interior: Set[str] = frozenset()) -> tuple[Kernel, ...]:
    """Kernels of a model in call order, without generating code.

    Raises:
        ModelError: a shape is dynamic, an operator cannot be compiled, or the target is unknown.
    """
    return kernels_of(select_kernels(read_graph(model), machine_of(target), interior, target.tuning))


@dataclass(frozen=True)
class LoweredPart:
    """Operators that run together: tensors of the model that they read and that others need of them; their kernels."""

    reads: tuple[str, ...]
    writes: tuple[str, ...]
    kernels: tuple[Kernel, ...]


def lower_parts(model: "onnx.ModelProto", target: CompileTarget) -> tuple[LoweredPart, ...]:
    """The kernels of `lower` by what they were made of, in call order.

    Raises:
        ModelError: as `lower`.
    """
    program = select_kernels(read_graph(model), machine_of(target), tuning=target.tuning)
    kernels = kernels_of(program)
    return tuple(LoweredPart(p.reads, p.writes, kernels[p.calls.start : p.calls.stop]) for p in program.parts)


def kernels_of(program: "Program") -> tuple[Kernel, ...]:
    """What a latency table knows of each call."""
    return tuple(_kernel(call, program) for call in program.calls)


def _kernel(call: "Call", program: "Program") -> Kernel:
    from splitkit.compiler.kernels import key, payload
    from splitkit.compiler.program import Constant

    spec = call.spec
    return Kernel(
        key=key(spec),
        label=spec.label(),
        family=spec.family,
        macs=spec.macs,
        read_bytes=sum(program.buffers[n].bytes for n in call.reads),
        write_bytes=program.buffers[call.writes].bytes,
        weight_bytes=sum(spec.constant_bytes(o.role, o.value) for o in call.operands if isinstance(o, Constant)),
        payload=payload(spec),
        dtype=program.buffers[call.writes].dtype,
    )
