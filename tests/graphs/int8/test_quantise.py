"""Quantising float models: where steps are put, and what they cost."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from splitkit.errors import ModelError
from splitkit.graphs.calibrate import quantise
from splitkit.graphs.int8.patterns import in_integers
from splitkit.graphs.int8.quantise import quantised, quantised_tensors
from splitkit.graphs.reading import read_onnx
from splitkit.graphs.session import Session
from tests.graphs.int8.models import network, quantised_network


def test_no_steps_between_a_layer_and_its_bounds() -> None:
    whole = network(np.random.default_rng(0))
    found = quantised_tensors(whole)
    assert {"expand.act", "excite.act", "grouped.act", "stem", "depthwise"} <= set(found)
    assert not {"expand", "excite", "grouped"} & set(found)


def test_the_graph_is_what_others_read() -> None:
    whole, found, images = quantised_network()
    onnx.checker.check_model(found, full_check=True)
    kinds = {node.op_type for node in found.graph.node}
    assert kinds <= {node.op_type for node in whole.graph.node} | {"QuantizeLinear", "DequantizeLinear"}
    session = Session(found)
    assert all(np.isfinite(session({"x": image})["y"]).all() for image in images)
    fused = onnxruntime.InferenceSession(found.SerializeToString(), providers=["CPUExecutionProvider"])  # in integers
    for image in images:
        found_, plain = fused.run(None, {"x": image})[0], session({"x": image})["y"]
        assert np.abs(found_ - plain).max() < 0.05 * np.abs(plain).max()
    assert all(not t.dims for t in found.graph.initializer if t.name.endswith((".act.scale", ".act.zero_point")))
    tensors = {tensor.name: tensor.data_type for tensor in found.graph.initializer}
    makers = {node.output[0]: node for node in found.graph.node}
    for node in found.graph.node:
        if node.op_type in ("Conv", "Gemm"):
            weight, bias = (makers[name].input[0] for name in node.input[1:])
            assert (tensors[weight], tensors[bias]) == (TensorProto.INT8, TensorProto.INT32)


def test_a_moved_tensor_keeps_its_steps() -> None:
    _, found, _ = quantised_network()
    scales = {
        t.name: numpy_helper.to_array(t) for t in found.graph.initializer if t.name.endswith((".scale", "_point"))
    }
    assert scales["flat.scale"] == scales["pooled.scale"]
    assert scales["flat.zero_point"] == scales["pooled.zero_point"]


def test_an_older_opset_is_refused_in_a_line() -> None:
    whole = network(np.random.default_rng(0))
    whole.opset_import[0].version = 12
    with pytest.raises(ModelError, match="opset 12"):
        quantised_tensors(whole)


def test_a_tensor_that_is_always_zero_costs_nothing_else() -> None:
    values = [numpy_helper.from_array(np.zeros((4, 3, 1, 1), np.float32), "w")]
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"])], "zero",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 4, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4, 4, 4])], values,
    )  # fmt: skip
    whole = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    found = quantised(whole, {"x": (-1.0, 1.0), "y": (0.0, 0.0)})
    assert np.all(Session(found)({"x": np.ones((1, 3, 4, 4), np.float32)})["y"] == 0)


def test_names_of_the_model_are_left_alone() -> None:
    whole = network(np.random.default_rng(0))
    for tensor in whole.graph.initializer:  # as a network may well call what normalises its input
        if tensor.name == "linear.w":
            tensor.name = "stem.scale"
    for node in whole.graph.node:
        node.input[:] = ["stem.scale" if name == "linear.w" else name for name in node.input]
    found = quantised(whole, dict.fromkeys(quantised_tensors(whole), (-3.0, 3.0)))
    names = [tensor.name for tensor in found.graph.initializer]
    assert len(set(names)) == len(names)
    assert "stem.scale_" in names


def test_a_gate_is_one_function_of_what_it_gates() -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"]),
        helper.make_node("Sigmoid", ["a"], ["gate"]),
        helper.make_node("Mul", ["a", "gate"], ["y"]),
    ]
    weight = np.random.default_rng(0).normal(0, 1, (4, 3, 1, 1)).astype(np.float32)
    graph = helper.make_graph(
        nodes, "swish",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 4, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4, 4, 4])],
        [numpy_helper.from_array(weight, "w")],
    )  # fmt: skip
    whole = onnx.shape_inference.infer_shapes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    )
    assert set(quantised_tensors(whole)) == {"x", "a", "y"}
    found = quantised(whole, {"x": (-1, 1), "a": (-3, 3), "y": (-0.3, 3)})
    assert [node.op for node in in_integers(read_onnx(found)).nodes] == [
        "QuantizeLinear", "IntegerConv", "ByteTable", "DequantizeLinear",
    ]  # fmt: skip


@pytest.mark.parametrize(("frames", "said"), [([], "no frames"), ([{"y": np.zeros(1)}], "no array for input 'x'")])
def test_frames_that_say_nothing_are_refused_in_a_line(frames: list[dict[str, np.ndarray]], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        quantise(network(np.random.default_rng(0)), frames)
