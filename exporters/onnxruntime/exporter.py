"""ONNX Runtime as an exporter: a runtime to deploy on, the reference for compiled halves, the baseline they race."""

import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from splitkit.compiler.memory import MemoryPlan
from splitkit.compiler.target import CompileTarget
from splitkit.errors import ModelError
from splitkit.exporters.onnxruntime.convert import convert
from splitkit.exporters.onnxruntime.session import OnnxRuntimeSession
from splitkit.exporters.protocol import Artifact
from splitkit.graphs.tensor import TensorSpec

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
        try:
            onnx.checker.check_model(model)
        except ValidationError as error:
            raise ModelError(f"ONNX graph {model.graph.name!r}: {str(error).splitlines()[0]}") from error
        constants = {t.name for t in model.graph.initializer}
        inputs = tuple(_spec(v, "input") for v in model.graph.input if v.name not in constants)
        outputs = tuple(_spec(v, "output") for v in model.graph.output)
        directory.mkdir(parents=True, exist_ok=True)
        convert(model, target, directory)
        weights = sum(onnx.numpy_helper.to_array(t).nbytes for t in model.graph.initializer)
        memory = MemoryPlan(0, weights, sum(t.bytes for t in inputs), sum(t.bytes for t in outputs))
        report = {"compile_s": round(time.perf_counter() - start, 3), "fallback": {}}
        artifact = Artifact(directory, self.name, self.version, target, inputs, outputs, (), memory, report)
        artifact.save()
        return artifact

    def load(self, artifact: Artifact) -> OnnxRuntimeSession:
        """Load with `artifact.target.threads` threads inside an operator and none between operators.

        Raises:
            BundleError: the model cannot be loaded.
        """
        return OnnxRuntimeSession(artifact)


def _spec(value: "onnx.ValueInfoProto", role: str) -> TensorSpec:
    from onnx import helper

    tensor = value.type.tensor_type
    shape = tuple(d.dim_value if d.HasField("dim_value") else 0 for d in tensor.shape.dim)
    if any(d <= 0 for d in shape):
        raise ModelError(f"graph {role} {value.name!r} has a dynamic shape", "export it with a fixed batch and size")
    return TensorSpec(value.name, shape, str(helper.tensor_dtype_to_np_dtype(tensor.elem_type)))
