"""What an exporter promises, and the plain data it speaks in. Imports neither torch nor tvm.

Layout outside a compiler is NCHW. An `Artifact` is a directory; everything needed to load it again is inside.
"""

import json
from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from splitkit.compiler.kernel import Kernel
from splitkit.compiler.memory import MemoryPlan
from splitkit.compiler.target import CompileTarget
from splitkit.errors import BundleError
from splitkit.inside import file_inside, read_inside
from splitkit.reading import parse_json, typed
from splitkit.space.tensor import TensorSpec

if TYPE_CHECKING:
    import onnx

    from splitkit.compiler.frontend import LoweredPart
    from splitkit.exporters.memory_report import MemoryReport

ARTIFACT_FILE = "artifact.json"
ARTIFACT_BYTES = 16 << 20
LARGEST_BYTES = 1 << 32
"""Of a tensor, an arena, the weights: a damaged artifact may ask for more."""

MOST_THREADS = 256

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Artifact:
    """A compiled graph (or a library of unconnected kernels) in a directory of its own.

    `kernels` are in call order. `report` says what the exporter needs to load it again, and what the user should know
    of the compilation, such as operators that fell back to the compiler's default (`{"fallback": {"Resize": 1}}`).
    `seconds` says how long its steps took: it is not written, so that equal code is an equal file.
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
    seconds: Mapping[str, float] = field(default_factory=dict, compare=False)

    def file(self, name: object) -> Path:
        """A file of the artifact by the name that its report has for it.

        Raises:
            BundleError: the name leads elsewhere, or the file is missing or not a regular one.
        """
        return file_inside(self.path, str(name))

    def save(self) -> None:
        """Write `artifact.json` beside the compiled files."""
        body = asdict(self) | {"schema_version": SCHEMA_VERSION, "path": None}
        del body["seconds"]
        body["target"] = {"spec": dict(self.target.spec), "threads": self.target.threads}
        body["report"] = dict(self.report)
        (self.path / ARTIFACT_FILE).write_text(json.dumps(body, indent=1))

    @classmethod
    def load(cls, path: Path) -> "Artifact":
        """Read a directory written by `save`.

        Raises:
            BundleError: the file is missing, is not JSON, has another schema version, or a field that cannot be.
        """
        file = path / ARTIFACT_FILE
        content = read_inside(path, ARTIFACT_FILE, ARTIFACT_BYTES)
        try:
            body = parse_json(content.decode())
            if not isinstance(body, dict) or body.get("schema_version") != SCHEMA_VERSION:
                raise ValueError(f"schema_version: must be {SCHEMA_VERSION}")
            artifact = typed(cls, body | {"path": path, "seconds": {}})
            artifact._check_sizes()
        except (ValueError, TypeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise BundleError(f"{file}: not a compiled artifact: {reason}", "export it again") from error
        return artifact

    def _check_sizes(self) -> None:
        """Raises: ValueError or TypeError of a tensor or a size that no compilation has."""
        for tensor in (*self.inputs, *self.outputs):
            if len(tensor.shape) > 32 or min(tensor.shape, default=1) < 1 or not 0 < tensor.bytes <= LARGEST_BYTES:
                raise ValueError(f"tensor {tensor.name!r}: shape and dtype cannot be {tensor.dtype} {tensor.shape}")
        for name, size in (asdict(self.memory) | {"arena_bytes": self.report.get("arena_bytes", 0)}).items():
            if not isinstance(size, int) or not 0 <= size <= LARGEST_BYTES:
                raise ValueError(f"{name}: cannot be {size!r}")
        if not 1 <= self.target.threads <= MOST_THREADS:
            raise ValueError(f"target.threads: must be 1 to {MOST_THREADS}")


class Session(Protocol):
    """A loaded artifact, ready to run in this process.

    One set of buffers, so one thread at a time: `splitkit.bundle.half_of` makes of it a function that keeps to that.
    """

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
class PartingExporter(KernelExporter, Protocol):
    """An exporter that says of which operators its kernels were made: where a model can be cut between them."""

    def lower_parts(self, model: "onnx.ModelProto", target: CompileTarget) -> "tuple[LoweredPart, ...]":
        """The kernels of `lower`, in call order, by what they were made of."""
        ...


@runtime_checkable
class AccountingExporter(KernelExporter, Protocol):
    """An exporter that accounts for flash, RAM and stack of what it compiled, layer by layer."""

    def memory_report(self, artifact: Artifact) -> "MemoryReport":
        """What a compiled graph takes of a device.

        Raises:
            BundleError: the artifact does not say, or not in a form that can be read.
        """
        ...


@runtime_checkable
class CallableFromC(Exporter, Protocol):
    """An exporter whose compiled form is called from a firmware."""

    def c_example(self, title: str, device: str, directory: str, source: TensorSpec, result: TensorSpec) -> str:
        """C, as a block of Markdown, that calls the graph compiled into `directory`."""
        ...


@runtime_checkable
class TunableExporter(KernelExporter, Protocol):
    """An exporter whose kernels have parameters that may be searched: `target.tuned({kernel.key: parameters})`."""

    def variants(self, kernel: Kernel, target: CompileTarget) -> tuple[Any, ...]:
        """Parameters, as JSON, under which an untuned kernel becomes other code; the most promising first."""
        ...
