"""ONNX to a shared library through TVM's code generator, with splitkit's own kernels."""

import hashlib
from collections.abc import Sequence, Set
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
from splitkit.compiler.version import code_version
from splitkit.exporters.protocol import Artifact
from splitkit.exporters.tvm.session import WEIGHTS_FILE, TvmSession
from splitkit.space.tensor import TensorSpec

if TYPE_CHECKING:
    import onnx

    from splitkit.compiler.build import Build
    from splitkit.compiler.machine import Machine

OBJECT_FILE = "model.o"
"""What is left in the artifact where there are no shared libraries: bare-metal targets link it into their firmware."""


class TvmExporter:
    """Compiles for CPUs that TVM's LLVM back end knows. Implements `splitkit.exporters.protocol.KernelExporter`."""

    name = "tvm"

    def __init__(self) -> None:
        self.version = code_version()

    def compile(self, model: "onnx.ModelProto", target: CompileTarget, directory: Path) -> Artifact:
        """Compile `model` into `directory`: `model-HASH.so` (bare metal: `model.o`), `weights.bin` and `artifact.json`.

        Raises:
            ModelError: a shape is dynamic, an operator cannot be compiled, or the target is unknown.
            ToolchainError: the linker is missing or failed.
        """
        from splitkit.compiler.build import place_program

        stages = Stages()
        with stages("read"):
            graph, machine = read_graph(model), machine_of(target)
        with stages("select"):
            program = select_kernels(graph, machine, tuning=target.tuning)
        kernels = kernels_of(program)
        with stages("schedule"):
            build = place_program(program, machine)
        inputs, outputs = edges(graph)
        return self._finish(build, kernels, inputs, outputs, machine, target, directory, stages, dict(program.fallback))

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

        graph, machine = read_graph(model), machine_of(target)
        build = place_program(select_kernels(graph, machine, tuning=target.tuning), machine)
        inputs, outputs = edges(graph)
        return memory_plan(build, inputs, outputs)

    def build_kernels(self, kernels: Sequence[Kernel], target: CompileTarget, directory: Path) -> Artifact:
        """Compile kernels from their payloads alone, each on buffers of its own."""
        from splitkit.compiler.build import place_kernels
        from splitkit.compiler.kernels import from_payload

        stages = Stages()
        machine = machine_of(target)
        with stages("schedule"):
            build = place_kernels([from_payload(k.payload) for k in kernels], machine)
        return self._finish(build, tuple(kernels), (), (), machine, target, directory, stages, {})

    def variants(self, kernel: Kernel, target: CompileTarget) -> tuple[list[int], ...]:
        """Register tiles that a kernel could have instead of its own, `[strips, pixels]`."""
        from splitkit.compiler.tuning import variants

        return variants(kernel, machine_of(target))

    def load(self, artifact: Artifact) -> TvmSession:
        """Load in this process.

        Raises:
            BundleError: the library cannot be loaded here.
        """
        return TvmSession(artifact)

    def _finish(
        self,
        build: "Build",
        kernels: tuple[Kernel, ...],
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
        machine: "Machine",
        target: CompileTarget,
        directory: Path,
        stages: Stages,
        fallback: dict[str, int],
    ) -> Artifact:
        from splitkit.compiler.build import memory_plan
        from splitkit.compiler.module import ARENA, build_module, entries, generate
        from splitkit.exporters.free_space import require_free_space
        from splitkit.exporters.tvm.link import has_shared_libraries, link_shared

        directory.mkdir(parents=True, exist_ok=True)
        with stages("lower"):
            module = build_module(build.kernels, build.labels, build.calls, [*inputs, *outputs], build.sizes, machine)
        with stages("codegen"):
            library = generate(module, machine)
            require_free_space(directory)
            library.write_to_file(str(directory / OBJECT_FILE), "o")
        triple = target.spec.get("mtriple")
        name = OBJECT_FILE
        if has_shared_libraries(triple):
            # The loader knows a library by its path: other code must have another name, or a process that compiles
            # twice into one directory would run the first library again.
            digest = hashlib.sha256((directory / OBJECT_FILE).read_bytes()).hexdigest()
            name = f"model-{digest[:12]}.so"
            for old in directory.glob("model-*.so"):
                old.unlink()
            with stages("link"):
                link_shared([directory / OBJECT_FILE], directory / name, triple)
            (directory / OBJECT_FILE).unlink()
        build.weights.tofile(directory / WEIGHTS_FILE)
        memory = memory_plan(build, inputs, outputs)
        report = {
            "kernels": len(build.calls),
            "distinct_kernels": len(build.kernels),
            "fallback": fallback,
            "arena_bytes": int(build.sizes[ARENA]),
            "fill": build.fill,
            "entries": entries(machine),
            "library": name,
        }
        artifact = Artifact(
            directory, self.name, self.version, target, inputs, outputs, kernels, memory, report, stages.report()
        )
        artifact.save()
        return artifact
