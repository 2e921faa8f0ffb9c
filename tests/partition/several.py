"""Small models of several inputs and outputs, with random weights."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def stereo(pixels: int = 16, width: int = 8) -> onnx.ModelProto:
    """Two images and a pose; an output of the left image alone, one of all three, and the class as a number.

    left -> conv -> relu `near` -> pool -> linear -> `early` (1, 5)
    right -> conv `far`; near + far -> relu `both` -> conv -> pool -> flat
    pose -> linear -> relu `told`; flat + told -> linear -> `logits` (1, 10) -> argmax `label`, int64 (1,)
    """
    nodes = [
        helper.make_node("Conv", ["left", "w0"], ["first"], strides=[2, 2], pads=[1] * 4),
        helper.make_node("Relu", ["first"], ["near"]),
        helper.make_node("GlobalAveragePool", ["near"], ["seen"]),
        helper.make_node("Flatten", ["seen"], ["flat_near"]),
        helper.make_node("Gemm", ["flat_near", "we"], ["early"], transB=1),
        helper.make_node("Conv", ["right", "w1"], ["far"], strides=[2, 2], pads=[1] * 4),
        helper.make_node("Concat", ["near", "far"], ["both"], axis=1),
        helper.make_node("Conv", ["both", "w2"], ["deep"], pads=[1] * 4),
        helper.make_node("Relu", ["deep"], ["deeper"]),
        helper.make_node("GlobalAveragePool", ["deeper"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["pose", "wp"], ["asked"], transB=1),
        helper.make_node("Relu", ["asked"], ["told"]),
        helper.make_node("Add", ["flat", "told"], ["joined"]),
        helper.make_node("Gemm", ["joined", "wf"], ["logits"], transB=1),
        helper.make_node("ArgMax", ["logits"], ["label"], axis=1, keepdims=0),
    ]
    weights = {"w0": (width, 3, 3, 3), "w1": (width, 3, 3, 3), "w2": (width, 2 * width, 3, 3)}
    weights |= {"we": (5, width), "wp": (width, 4), "wf": (10, width)}
    inputs = [("left", (1, 3, pixels, pixels)), ("right", (1, 3, pixels, pixels)), ("pose", (1, 4))]
    outputs = [("early", (1, 5)), ("logits", (1, 10)), ("label", (1,))]
    return made("stereo", nodes, inputs, outputs, weights, {"label": TensorProto.INT64})


def made(
    name: str,
    nodes: list[onnx.NodeProto],
    inputs: list[tuple[str, tuple[int, ...]]],
    outputs: list[tuple[str, tuple[int, ...]]],
    weights: dict[str, tuple[int, ...]],
    types: dict[str, int] | None = None,
    constants: dict[str, list[int]] | None = None,
) -> onnx.ModelProto:
    """A model with random weights that keep scales; its edges are float32, but for those of other types."""
    rng = np.random.default_rng(5)
    tensors = [
        numpy_helper.from_array((rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype("f4"), key)
        for key, shape in weights.items()
    ]
    tensors += [numpy_helper.from_array(np.array(value, np.int64), key) for key, value in (constants or {}).items()]
    edges = [
        [helper.make_tensor_value_info(key, (types or {}).get(key, TensorProto.FLOAT), shape) for key, shape in some]
        for some in (inputs, outputs)
    ]
    graph = helper.make_graph(nodes, name, edges[0], edges[1], tensors)
    found = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(found, full_check=True)
    return found


def supervised() -> onnx.ModelProto:
    """A model whose `feature` (1, 8, 8, 8) is an output and read further on: image -> `feature` -> `logits` (1, 10)."""
    nodes = [
        helper.make_node("Conv", ["image", "w0"], ["first"], strides=[2, 2], pads=[1] * 4),
        helper.make_node("Relu", ["first"], ["feature"]),
        helper.make_node("Conv", ["feature", "w1"], ["second"], pads=[1] * 4),
        helper.make_node("GlobalAveragePool", ["second"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "wf"], ["logits"], transB=1),
    ]
    weights = {"w0": (8, 3, 3, 3), "w1": (8, 8, 3, 3), "wf": (10, 8)}
    inputs, outputs = [("image", (1, 3, 16, 16))], [("feature", (1, 8, 8, 8)), ("logits", (1, 10))]
    return made("supervised", nodes, inputs, outputs, weights)
