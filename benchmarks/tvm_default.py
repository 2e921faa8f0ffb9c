"""A model through TVM's own legalisation, fusion and default schedule, compiled like splitkit's bare-metal artifacts.

What other benchmarks compare with where a target has no operating system: the same generated C and memory plan around
other kernels.
"""

from pathlib import Path

import onnx

from splitkit.compiler.build import place_program
from splitkit.compiler.fallback import lower_fallback
from splitkit.compiler.frontend import edges, kernels_of, machine_of
from splitkit.compiler.program import Buffer, Call, Constant, Program
from splitkit.compiler.stages import Stages
from splitkit.exporters import Artifact, CompileTarget
from splitkit.exporters.baremetal import BareMetalExporter
from splitkit.exporters.baremetal.network import Layer, Network, arena_alignment
from splitkit.graphs.reading import read_onnx


def default_program(model: onnx.ModelProto) -> Program:
    """Every operator as TVM's pipeline has it."""
    graph = read_onnx(model)
    lowered = lower_fallback(graph, graph.nodes)
    types = {name: graph.types[name] for name in (*lowered.inputs, *lowered.outputs)} | dict(lowered.inner)
    buffers = {name: Buffer(name, type_.shape, type_.dtype) for name, type_ in types.items()}
    calls = tuple(
        Call(step.spec, tuple(o if isinstance(o, str) else Constant(o, "raw") for o in step.operands), step.spec.name)
        for step in lowered.steps
    )
    return Program(calls, buffers, graph.inputs, graph.outputs, graph.outputs, {}, ())


def compile_default(model: onnx.ModelProto, target: CompileTarget, directory: Path) -> Artifact:
    """The artifact, in the form of the exporter `baremetal`."""
    program, machine = default_program(model), machine_of(target)
    build = place_program(program, machine, arena_alignment(machine))
    layers = tuple(Layer(call.origin, kernel) for call, kernel in zip(program.calls, kernels_of(program), strict=True))
    exporter = BareMetalExporter()
    network = Network(exporter._name(directory), *edges(read_onnx(model)), layers, build, {}, arena_alignment(machine))
    return exporter._finish(network, machine, target, directory, Stages(), {})
