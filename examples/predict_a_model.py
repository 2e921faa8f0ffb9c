"""How long will a model that somebody else made take, and what are its halves? The device here is a modelled one."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import splitkit as sk

weight = numpy_helper.from_array(np.random.default_rng(0).standard_normal((16, 3, 3, 3)).astype(np.float32), "weight")
image = helper.make_tensor_value_info("image", TensorProto.FLOAT, (1, 3, 64, 64))
edges = helper.make_tensor_value_info("edges", TensorProto.FLOAT, (1, 16, 64, 64))
conv = helper.make_node("Conv", ["image", "weight"], ["filtered"], pads=[1] * 4)
relu = helper.make_node("Relu", ["filtered"], ["edges"])
onnx.save(helper.make_model(helper.make_graph([conv, relu], "filter", [image], [edges], [weight])), "filter.onnx")

device: sk.DeviceProfile = sk.load_device("hmd-sensor")
with sk.LatencyTable("latency.db") as table:
    prediction = sk.GraphPredictor(device, table).predict(sk.OnnxGraph.load("filter.onnx"))
print(f"{prediction.latency_us:.1f} us, of which")
for kernel, us in zip(prediction.kernels, prediction.kernel_us, strict=True):
    print(f"{us:8.2f} us  {kernel.label}")

halves = sk.cut(onnx.load("filter.onnx"), ["filtered"])
for half in (halves.head, halves.tail):
    print([node.op_type for node in half.graph.node])
