"""A model that somebody else made: the best places to cut it, then both halves of one cut proved and measured."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import splitkit as sk

rng = np.random.default_rng(0)
shapes = {"w0": (8, 3, 3, 3), "w1": (16, 8, 3, 3), "w2": (10, 16)}
weights = [numpy_helper.from_array(rng.normal(0, 0.3, s).astype(np.float32), name) for name, s in shapes.items()]
nodes = [
    helper.make_node("Conv", ["image", "w0"], ["first"], strides=[2, 2], pads=[1] * 4),
    helper.make_node("Relu", ["first"], ["feature"]),
    helper.make_node("Conv", ["feature", "w1"], ["second"], strides=[2, 2], pads=[1] * 4),
    helper.make_node("GlobalAveragePool", ["second"], ["pooled"]),
    helper.make_node("Flatten", ["pooled"], ["flat"]),
    helper.make_node("Gemm", ["flat", "w2"], ["scores"], transB=1),
]
image = helper.make_tensor_value_info("image", TensorProto.FLOAT, (1, 3, 32, 32))
scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, (1, 10))
graph = helper.make_graph(nodes, "theirs", [image], [scores], weights)
opset = helper.make_opsetid("", 17)
onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=9), "theirs.onnx")

with sk.LatencyTable("latency.db") as table:
    found = sk.partition(onnx.load("theirs.onnx"), sk.load_system("hmd"), table)
for option in found.options:
    print(f"{option.placement}: {', '.join(option.crossing)}, {option.total_us:.0f} us (a model of a headset)")

origin = sk.Partitioned.of("theirs.onnx", "feature")
images = rng.standard_normal((64, 1, 3, 32, 32)).astype(np.float32)  # use real ones: the halves are proved with them
bundle = sk.export_partition(onnx.load("theirs.onnx"), origin, sk.load_system("demo"), images, "bundle")
print(f"{bundle.manifest.origin.title}: sends {bundle.link.payload_bytes} bytes a frame")
for record in bundle.manifest.verification:
    print(f"proved with {record.runtime}: scores within {record.scores_error:.1e}")
measured = sk.bench(bundle, frames=20)
print({stage: round(us, 1) for stage, us in measured.medians().items()})
