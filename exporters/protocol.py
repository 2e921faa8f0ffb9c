"""What an exporter promises, and the plain data it speaks in. Imports neither torch nor tvm.

Layout outside a compiler is NCHW. An `Artifact` is a directory; everything needed to load it again is inside.
"""

import json
from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from splitkit.compiler.kernel import Kernel
from splitkit.compiler.memory import MemoryPlan
from splitkit.compiler.target import CompileTarget
from splitkit.errors import BundleError
from splitkit.graphs.tensor import TensorSpec

if TYPE_CHECKING:
    import onnx

ARTIFACT_FILE = "artifact.json"
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Artifact:
    """A compiled graph (or a library of unconnected kernels) in a directory of its own.

    `kernels` are in call order. `report` counts what the user should know of the compilation, such as operators that
    fell back to the compiler's default (`{"fallback": {"Resize": 1}, "compile_s": 1.2}`).
    """

    path: Path
    exporter: str
    version: str
    target: CompileTarget
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    kernels: tuple[Kernel, ...]
    memory: MemoryPlan
    report: Mapping[str, Any]

    def save(self) -> None:
        """Write `artifact.json` beside the compiled files."""
        body = asdict(self) | {"schema_version": SCHEMA_VERSION, "path": None}
        body["target"] = {"spec": dict(self.target.spec), "threads": self.target.threads}
        body["report"] = dict(self.report)
        (self.path / ARTIFACT_FILE).write_text(json.dumps(body, indent=1))

    @classmethod
    def load(cls, path: Path) -> "Artifact":
        """Read a directory written by `save`.

        Raises:
            BundleError: the file is missing, is not JSON, or has another schema version.
        """
        file = path / ARTIFACT_FILE
        try:
            body = json.loads(file.read_text())
            if body["schema_version"] != SCHEMA_VERSION:
                raise BundleError(
                    f"{file}: schema_version {body['schema_version']}, this splitkit reads {SCHEMA_VERSION}"
                )
            return cls(
                path=path,
                exporter=body["exporter"],
                version=body["version"],
                target=CompileTarget(**body["target"]),
                inputs=tuple(_tensor(t) for t in body["inputs"]),
                outputs=tuple(_tensor(t) for t in body["outputs"]),
                kernels=tuple(Kernel(**k) for k in body["kernels"]),
                memory=MemoryPlan(**body["memory"]),
                report=body["report"],
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BundleError(f"{file}: not a compiled artifact: {error}", "export it again") from error


def _tensor(body: dict[str, Any]) -> TensorSpec:
    return TensorSpec(body["name"], tuple(body["shape"]), body["dtype"])


class Session(Protocol):
    """A loaded artifact, ready to run in this process. Not thread-safe."""

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run once. Shapes and dtypes must be those of `Artifact.inputs`; returns freshly owned arrays."""
        ...

    def time_ns(self, repeats: int) -> NDArray[np.int64]:
        """Run `repeats` times on staged inputs; wall time of each run in ns, shape (repeats,)."""
        ...


class KernelSession(Session, Protocol):
    """A session that can also time its kernels where they stand."""

    def kernel_times_ns(self, repeats: int) -> NDArray[np.float64]:
        """Run the kernels in call order `repeats` times; ns of each, shape (repeats, len(artifact.kernels)).

        For a graph these are in-situ times. For a library of unconnected kernels every kernel meets the caches as the
        others left them, which is nearer to a network than timing one kernel hot.
        """
        ...


@runtime_checkable
class Exporter(Protocol):
    """Compiles an ONNX graph with static shapes for one edge runtime."""

    name: str
    version: str
    """Changes whenever the code it generates does; part of a measurement's conditions."""

    def compile(self, model: "onnx.ModelProto", target: CompileTarget, directory: Path) -> Artifact:
        """Compile `model` into `directory` (made if needed) and write `artifact.json` there.

        Raises:
            ModelError: the graph has dynamic shapes or an operator that cannot be compiled.
            ToolchainError: the linker is missing or failed.
        """
        ...

    def load(self, artifact: Artifact) -> Session:
        """Load in this process, with `artifact.target.threads` threads."""
        ...


@runtime_checkable
class KernelExporter(Exporter, Protocol):
    """An exporter that says which kernels a graph becomes, so that their latencies can be added up."""

    def lower(
        self, model: "onnx.ModelProto", target: CompileTarget, interior: Set[str] = frozenset()
    ) -> tuple[Kernel, ...]:
        """Kernels of `model` in call order, read off the compiled form, without generating machine code.

        `interior` names graph inputs and outputs that are inner tensors of a larger network: they are taken to be in
        the compiler's own layout already, so that no layout transform is counted at them.
        """
        ...

    def plan_memory(self, model: "onnx.ModelProto", target: CompileTarget) -> MemoryPlan:
        """Memory of the compiled form, exact, without generating machine code."""
        ...

    def build_kernels(self, kernels: Sequence[Kernel], target: CompileTarget, directory: Path) -> Artifact:
        """Compile kernels, each on buffers of its own, into one library to be timed by `kernel_times_ns`."""
        ...

    def load(self, artifact: Artifact) -> KernelSession:
        """Load in this process, with `artifact.target.threads` threads."""
        ...


@runtime_checkable
class TunableExporter(KernelExporter, Protocol):
    """An exporter whose kernels have parameters that may be searched: `target.tuned({kernel.key: parameters})`."""

    def variants(self, kernel: Kernel, target: CompileTarget) -> tuple[Any, ...]:
        """Parameters, as JSON, under which an untuned kernel becomes other code; the most promising first."""
        ...
