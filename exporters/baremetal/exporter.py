"""ONNX to C: the kernels of the TVM exporter as an object file, and generated C that calls them in order."""

from collections.abc import Sequence, Set
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from splitkit.compiler.frontend import (
    LoweredPart,
    edges,
    kernels_of,
    lower,
    lower_parts,
    machine_of,
    read_graph,
    select_kernels,
)
from splitkit.compiler.kernel import Kernel
from splitkit.compiler.memory import MemoryPlan
from splitkit.compiler.stages import Stages
from splitkit.compiler.target import CompileTarget
from splitkit.errors import ConfigError, DeviceError
from splitkit.exporters.baremetal.example import c_example
from splitkit.exporters.baremetal.names import identifier
from splitkit.exporters.baremetal.version import code_version
from splitkit.exporters.memory_report import MemoryReport
from splitkit.exporters.protocol import Artifact, KernelSession
from splitkit.space.tensor import TensorSpec

if TYPE_CHECKING:
    import onnx

    from splitkit.compiler.machine import Machine
    from splitkit.exporters.baremetal.network import Network


class BareMetalExporter:
    """Compiles for devices without an operating system. Implements `AccountingExporter` and `CallableFromC`.

    The kernels, their keys and labels are those of the `tvm` exporter for the same target; what differs is how they are
    called, and that there is no runtime.

    Args:
        prefix: what files, functions and macros are called; left empty, the directory's name (`sensor`, `aggregator`).
    """

    name = "baremetal"

    def __init__(self, prefix: str = "") -> None:
        self.version = code_version()
        self._prefix = prefix

    def compile(self, model: "onnx.ModelProto", target: CompileTarget, directory: Path) -> Artifact:
        """Compile `model` into `directory`, which a failure leaves as it was.

        With NAME the prefix: `NAME.h`, `NAME.c`, `NAME_kernels.o`, `NAME_weights.S` and `.bin`, `CMakeLists.txt`,
        `NAME.ld` (an example), `memory.json` and `artifact.json`.

        Raises:
            ConfigError: the target has several threads.
            ModelError: a shape is dynamic, an operator cannot be compiled, or the target is unknown.
        """
        from splitkit.compiler.build import place_program
        from splitkit.exporters.baremetal.network import Layer, Network, arena_alignment
        from splitkit.graphs.quantisation import stated_quantisation

        stages = Stages()
        with stages("read"):
            graph, machine = read_graph(model), _machine(target)
        with stages("select"):
            program = select_kernels(graph, machine, tuning=target.tuning)
        kernels = kernels_of(program)
        with stages("schedule"):
            build = place_program(program, machine, arena_alignment(machine))
        layers = tuple(Layer(call.origin, kernel) for call, kernel in zip(program.calls, kernels, strict=True))
        network = Network(
            self._name(directory), *edges(graph), layers, build, stated_quantisation(model), arena_alignment(machine)
        )
        return self._finish(network, machine, target, directory, stages, dict(program.fallback))

    def lower(
        self, model: "onnx.ModelProto", target: CompileTarget, interior: Set[str] = frozenset()
    ) -> tuple[Kernel, ...]:
        """Kernels of `model` in call order, without generating code.

        Raises:
            ModelError: a shape is dynamic, an operator cannot be compiled, or the target is unknown.
        """
        return lower(model, target, interior)

    def lower_parts(self, model: "onnx.ModelProto", target: CompileTarget) -> tuple[LoweredPart, ...]:
        """The kernels of `lower` by the operators they were made of; raises as it does."""
        return lower_parts(model, target)

    def plan_memory(self, model: "onnx.ModelProto", target: CompileTarget) -> MemoryPlan:
        """Memory of the compiled form, from the same plan that `compile` follows, without generating code.

        Raises:
            ModelError: a shape is dynamic, an operator cannot be compiled, or the target is unknown.
        """
        from splitkit.compiler.build import memory_plan, place_program
        from splitkit.exporters.baremetal.network import arena_alignment

        graph, machine = read_graph(model), _machine(target)
        program = select_kernels(graph, machine, tuning=target.tuning)
        return memory_plan(place_program(program, machine, arena_alignment(machine)), *edges(graph))

    def build_kernels(self, kernels: Sequence[Kernel], target: CompileTarget, directory: Path) -> Artifact:
        """Compile kernels from their payloads alone, each on buffers of its own; `NAME_run(void)` runs them."""
        from splitkit.compiler.build import place_kernels
        from splitkit.compiler.kernels import from_payload
        from splitkit.exporters.baremetal.network import Layer, Network, arena_alignment

        stages = Stages()
        machine = _machine(target)
        with stages("schedule"):
            build = place_kernels([from_payload(k.payload) for k in kernels], machine, arena_alignment(machine))
        layers = tuple(Layer("", kernel) for kernel in kernels)
        network = Network(self._name(directory), (), (), layers, build, {}, arena_alignment(machine))
        return self._finish(network, machine, target, directory, stages, {})

    def variants(self, kernel: Kernel, target: CompileTarget) -> tuple[list[int], ...]:
        """Register tiles that a kernel could have instead of its own."""
        from splitkit.compiler.tuning import variants

        return variants(kernel, machine_of(target))

    def memory_report(self, artifact: Artifact) -> MemoryReport:
        """Flash, RAM and stack, layer by layer.

        Raises:
            BundleError: `memory.json` is missing or damaged.
        """
        return MemoryReport.load(artifact.path)

    def c_example(self, title: str, device: str, directory: str, source: TensorSpec, result: TensorSpec) -> str:
        """C that calls the graph compiled into `directory`."""
        return c_example(title, device, directory, source, result)

    def load(self, artifact: Artifact) -> KernelSession:
        """Nothing can be loaded here: what was compiled is part of a firmware, which its device builds and runs.

        Raises:
            DeviceError: always.
        """
        triple = artifact.target.spec.get("mtriple", "this machine")
        raise DeviceError(
            f"{artifact.path}: C for {triple}, which cannot be loaded into this process",
            "run it through its device: kind qemu-system or linux-cross",
        )

    def _name(self, directory: Path) -> str:
        return identifier(self._prefix or directory.name)

    def _finish(
        self,
        network: "Network",
        machine: "Machine",
        target: CompileTarget,
        directory: Path,
        stages: Stages,
        fallback: dict[str, int],
    ) -> Artifact:
        """Write everything beside `directory`, then put it in place."""
        from splitkit.compiler.build import memory_plan
        from splitkit.exporters.baremetal.files import write_network
        from splitkit.exporters.baremetal.staging import staged

        with staged(directory) as work:
            memory = write_network(network, machine, target, work, stages)
            plan = memory_plan(network.build, network.inputs, network.outputs)
            report = {
                "kernels": len(network.layers),
                "distinct_kernels": len(network.build.kernels),
                "fallback": fallback,
                "name": network.name,
                "flash_bytes": memory.flash_bytes,
                "ram_bytes": memory.ram_bytes,
                "stack_bytes": memory.stack_bytes,
            }
            kernels = tuple(layer.kernel for layer in network.layers)
            artifact = Artifact(
                work, self.name, self.version, target, network.inputs, network.outputs, kernels, plan, report,
                stages.report(),
            )  # fmt: skip
            artifact.save()
        return replace(artifact, path=directory)


def _machine(target: CompileTarget) -> "Machine":
    if target.threads != 1:
        raise ConfigError(
            f"threads: {target.threads}, but code without a runtime runs on one thread", "set threads = 1"
        )
    return machine_of(target)
