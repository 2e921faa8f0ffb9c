"""What has to be known of a model before its cuts can be compared."""

from collections.abc import Callable
from hashlib import sha256
from typing import TYPE_CHECKING

from splitkit.bench.graphs import measure_graphs
from splitkit.errors import DeviceError
from splitkit.graphs.shapes import tensor_dtype, tensor_shape, value_infos
from splitkit.latency.graph_predictor import GraphPredictor
from splitkit.latency.store import LutStore
from splitkit.partition.examine import ModelGraph
from splitkit.profiles.schema import DeviceProfile
from splitkit.space.tensor import TensorSpec

if TYPE_CHECKING:
    import onnx


def measure_once(model: "onnx.ModelProto", profile: DeviceProfile, store: LutStore, say: Callable[[str], None]) -> None:
    """Time the whole model on a device, unless all of its kernels are known there.

    Raises:
        ModelError: it cannot be compiled.
        DeviceError: the exporter names no kernels, or the device fails.
    """
    predictor = GraphPredictor(profile, store)
    kernels = predictor.lowering.graph(ModelGraph(model))
    try:
        if predictor.known(kernels).all():
            return
    except DeviceError:  # nothing was measured yet
        pass
    say(f"measuring the model on {profile.name}")
    digest = sha256(" ".join(kernel.key for kernel in kernels).encode()).hexdigest()[:16]
    measure_graphs(store, profile, {digest: ModelGraph(model)})


def named_tensors(model: "onnx.ModelProto") -> dict[str, TensorSpec]:
    """Tensors of a model whose shape and type are known."""
    found = {}
    for name, value in value_infos(model).items():
        if value.type.HasField("tensor_type") and value.type.tensor_type.HasField("shape"):
            dims = value.type.tensor_type.shape.dim
            if all(dim.WhichOneof("value") == "dim_value" and dim.dim_value > 0 for dim in dims) and dims:
                found[name] = TensorSpec(name, tensor_shape(value), tensor_dtype(value))
    return found
