"""ONNX Runtime as an exporter: a runtime to deploy on, the reference for compiled halves, the baseline they race."""

import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from splitkit.compiler.memory import MemoryPlan
from splitkit.compiler.target import CompileTarget
from splitkit.errors import ModelError
from splitkit.exporters.onnxruntime.convert import convert
from splitkit.exporters.onnxruntime.session import OnnxRuntimeSession
from splitkit.exporters.protocol import Artifact
from splitkit.graphs.order import ordered
from splitkit.space.tensor import TensorSpec

if TYPE_CHECKING:
    import onnx


class OnnxRuntimeExporter:
    """Optimises the graph ahead of time and saves it in ONNX Runtime's own format."""

    name = "onnxruntime"

    def __init__(self) -> None:
        self.version = f"onnxruntime-{version('onnxruntime')}"

    def compile(self, model: "onnx.ModelProto", target: CompileTarget, directory: Path) -> Artifact:
        """Write `model.ort`, `required_operators.config` (for a minimal build) and `artifact.json` into `directory`.

        For the target `{"kind": "host"}` the file is optimised for this very processor, for any other it runs anywhere.
        The runtime states no arena, so `memory.arena_bytes` is 0; kernels are its own business, so there are none.

        Raises:
            ModelError: the graph is not valid, has an operator that ONNX Runtime lacks, or a dynamic shape.
        """
        import onnx
        from onnx.checker import ValidationError

        start = time.perf_counter()
        model = ordered(model)
        try:
            onnx.checker.check_model(model)
        except ValidationError as error:
            raise ModelError(f"ONNX graph {model.graph.name!r}: {str(error).splitlines()[0]}") from error
        constants = {t.name for t in model.graph.initializer}
        inputs = tuple(_spec(v, "input", _stated(v)) for v in model.graph.input if v.name not in constants)
        directory.mkdir(parents=True, exist_ok=True)
        shapes = convert(model, target, directory)
        outputs = tuple(_spec(v, "output", shapes[v.name]) for v in model.graph.output)
        weights = sum(onnx.numpy_helper.to_array(t).nbytes for t in model.graph.initializer)
        memory = MemoryPlan(0, weights, sum(t.bytes for t in inputs), sum(t.bytes for t in outputs))
        seconds = {"compile": round(time.perf_counter() - start, 3)}
        report: dict[str, object] = {"fallback": {}}
        artifact = Artifact(directory, self.name, self.version, target, inputs, outputs, (), memory, report, seconds)
        artifact.save()
        return artifact

    def load(self, artifact: Artifact) -> OnnxRuntimeSession:
        """Load with `artifact.target.threads` threads inside an operator and none between operators.

        Raises:
            BundleError: the model cannot be loaded.
        """
        return OnnxRuntimeSession(artifact)


def _stated(value: "onnx.ValueInfoProto") -> list[int | str | None] | None:
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        return None
    return [d.dim_value if d.HasField("dim_value") else None for d in tensor.shape.dim]


def _spec(value: "onnx.ValueInfoProto", role: str, shape: Sequence[int | str | None] | None) -> TensorSpec:
    from onnx import helper

    extents = [d for d in shape or () if isinstance(d, int) and d > 0]
    if shape is None or len(extents) != len(shape):
        raise ModelError(f"graph {role} {value.name!r} has a dynamic shape", "export it with a fixed batch and size")
    dtype = str(helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type))
    return TensorSpec(value.name, tuple(extents), dtype)
