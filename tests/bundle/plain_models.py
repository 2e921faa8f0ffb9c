"""Small ONNX models as strangers have them, with random weights: nothing in them is splitkit's."""

from collections.abc import Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

IMAGE = (1, 3, 16, 16)


def plain() -> onnx.ModelProto:
    """image -> conv -> relu `active` (1, 8, 8, 8) -> conv -> relu -> pool -> linear -> logits (1, 10)."""
    nodes = [
        helper.make_node("Conv", ["pixels", "w0", "b0"], ["first"], strides=[2, 2], pads=[1] * 4),
        helper.make_node("Relu", ["first"], ["active"]),
        helper.make_node("Conv", ["active", "w1"], ["second"], pads=[1] * 4),
        *_head("second"),
    ]
    return _model("plain", nodes, {"w0": (8, 3, 3, 3), "b0": (8,), "w1": (8, 8, 3, 3)})


def residual() -> onnx.ModelProto:
    """A cut at `inner` lets `first` pass as well, around it."""
    nodes = [
        helper.make_node("Conv", ["pixels", "w0"], ["first"], pads=[1] * 4),
        helper.make_node("Conv", ["first", "w1"], ["inner"], pads=[1] * 4),
        helper.make_node("Relu", ["inner"], ["active"]),
        helper.make_node("Add", ["active", "first"], ["second"]),
        *_head("second"),
    ]
    return _model("residual", nodes, {"w0": (8, 3, 3, 3), "w1": (8, 8, 3, 3)})


def image_twice() -> onnx.ModelProto:
    """A cut at `inner` lets the image itself pass as well."""
    nodes = [
        helper.make_node("Conv", ["pixels", "w0"], ["inner"], pads=[1] * 4),
        helper.make_node("Concat", ["inner", "pixels"], ["second"], axis=1),
        *_head("second"),
    ]
    return _model("twice", nodes, {"w0": (5, 3, 3, 3)})


def inputs_of(model: onnx.ModelProto, frames: int = 48) -> NDArray[np.float32]:
    """Random images, float32 (frames, *input shape)."""
    shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    return np.random.default_rng(7).standard_normal((frames, *shape)).astype(np.float32)


def _head(tensor: str) -> list[onnx.NodeProto]:
    return [
        helper.make_node("Relu", [tensor], ["last"]),
        helper.make_node("GlobalAveragePool", ["last"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "wf", "bf"], ["logits"], transB=1),
    ]


def _model(name: str, nodes: Sequence[onnx.NodeProto], weights: dict[str, tuple[int, ...]]) -> onnx.ModelProto:
    rng = np.random.default_rng(3)
    shapes = weights | {"wf": (10, 8), "bf": (10,)}
    tensors = [
        numpy_helper.from_array((rng.standard_normal(shape) / np.sqrt(max(1, np.prod(shape[1:])))).astype("f4"), key)
        for key, shape in shapes.items()
    ]
    image = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, IMAGE)
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, (1, 10))
    graph = helper.make_graph(list(nodes), name, [image], [logits], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
