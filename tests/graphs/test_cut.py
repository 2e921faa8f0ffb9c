import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from splitkit.errors import ModelError
from splitkit.graphs.cut import cut
from splitkit.graphs.model import load_model
from splitkit.graphs.render import render
from splitkit.space import Sampler, describe, load_space

from .cuttable import random_dag, random_inputs, residual_net, run, run_halves


def assert_halves_equal_whole(model: onnx.ModelProto, tensors: list[str]) -> None:
    halves = cut(model, tensors)
    for side in (halves.head, halves.tail):
        onnx.checker.check_model(side, full_check=True)
    inputs = random_inputs(model, np.random.default_rng(0))
    whole, joined = run(model, inputs), run_halves(halves, inputs)
    for name, expected in whole.items():
        assert np.ptp(expected.astype(np.float64)) > 0, f"{name} is constant: equality would prove nothing"
        np.testing.assert_array_equal(joined[name], expected)


@given(seed=st.integers(0, 10**6), nodes=st.integers(3, 20), cuts=st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_halves_of_random_graphs_equal_the_whole(seed: int, nodes: int, cuts: int) -> None:
    rng = np.random.default_rng(seed)
    model = random_dag(rng, nodes)
    outputs = {value.name for value in model.graph.output}
    inner = [node.output[0] for node in model.graph.node if node.output[0] not in outputs]
    tensors = [str(name) for name in rng.choice(inner or ["in0"], size=min(cuts, max(1, len(inner))), replace=False)]
    if tensors == ["in0"]:
        return  # every operator is an output: there is nothing between an input and an output
    assert_halves_equal_whole(model, tensors)


def test_cut_keeps_skip_connection() -> None:
    halves = cut(residual_net(), ["active"])
    assert halves.tensors == ("active", "stem")
    assert [value.name for value in halves.tail.graph.input] == ["active", "stem"]
    assert_halves_equal_whole(residual_net(), ["active"])


def test_strict_cut_names_the_skip_connection() -> None:
    with pytest.raises(ModelError, match="'active' is not a cut: 'stem' crosses as well"):
        cut(residual_net(), ["active"], strict=True)


def test_shared_weight_and_constant_go_to_the_sides_that_use_them() -> None:
    halves = cut(residual_net(), ["active"])
    assert {tensor.name for tensor in halves.head.graph.initializer} == {"w0", "w1"}
    assert {tensor.name for tensor in halves.tail.graph.initializer} == {"w1"}
    assert [node.op_type for node in halves.tail.graph.node] == ["Conv", "Add", "Constant", "Mul"]


def test_cut_through_a_graph_input_passes_it_through() -> None:
    model = random_dag(np.random.default_rng(5), 8)
    halves = cut(model, ["t3"])
    inputs = random_inputs(model, np.random.default_rng(0))
    assert set(halves.passthrough) <= set(inputs)
    assert_halves_equal_whole(model, ["t3"])


def test_output_of_the_whole_in_the_head_stays_an_output() -> None:
    nodes = [
        helper.make_node("Tanh", ["x"], ["early"]),
        helper.make_node("Sigmoid", ["early"], ["link"]),
        helper.make_node("Tanh", ["link"], ["late"]),
    ]
    values = {n: helper.make_tensor_value_info(n, TensorProto.FLOAT, [2, 3]) for n in ("x", "early", "late")}
    graph = helper.make_graph(nodes, "g", [values["x"]], [values["early"], values["late"]])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    halves = cut(model, ["link"])
    assert [v.name for v in halves.head.graph.output] == ["link", "early"]
    assert [v.name for v in halves.tail.graph.output] == ["late"]
    assert_halves_equal_whole(model, ["link"])


def test_types_and_shapes_are_carried_over() -> None:
    halves = cut(residual_net(), ["active"])
    (stem,) = (v for v in halves.tail.graph.input if v.name == "stem")
    assert [d.dim_value for d in stem.type.tensor_type.shape.dim] == [1, 4, 6, 6]
    assert [v.name for v in halves.head.graph.value_info] == ["first"]


def test_body_of_a_branch_reads_tensors_from_across_the_cut() -> None:
    float_value = helper.make_tensor_value_info("chosen", TensorProto.FLOAT, [1, 3])
    branches = {
        name: helper.make_graph([helper.make_node(op, ["early"], ["chosen"])], name, [], [float_value])
        for name, op in (("then_branch", "Tanh"), ("else_branch", "Neg"))
    }
    nodes = [
        helper.make_node("Exp", ["x"], ["early"]),
        helper.make_node("ReduceSum", ["early"], ["total"], keepdims=0),
        helper.make_node("Cast", ["total"], ["flag"], to=TensorProto.BOOL),
        helper.make_node("If", ["flag"], ["y"], **branches),
    ]
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 3]) for n in ("x", "y")]
    opset = [helper.make_opsetid("", 20)]
    model = helper.make_model(helper.make_graph(nodes, "g", values[:1], values[1:]), opset_imports=opset, ir_version=10)
    assert cut(model, ["flag"]).tensors == ("flag", "early")
    assert_halves_equal_whole(model, ["flag"])


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        (["nowhere"], "no tensor is called 'nowhere'"),
        (["sec"], "did you mean 'second'"),
        (["w1"], "'w1' is constant"),
        (["two"], "'two' is constant"),
        (["image"], "leaves the head empty"),
        (["scores"], "leaves the tail empty"),
        ([], "at least one tensor"),
    ],
)
def test_what_cannot_be_cut_is_named(tensors: list[str], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        cut(residual_net(), tensors)


def test_dead_tensor_cannot_be_cut() -> None:
    model = residual_net()
    model.graph.node.append(helper.make_node("Tanh", ["sum"], ["dead"]))
    with pytest.raises(ModelError, match="no output of the graph needs tensor 'dead'"):
        cut(model, ["dead"])


def test_the_whole_is_left_as_it_was() -> None:
    model = residual_net()
    before = model.SerializeToString()
    cut(model, ["active"])
    assert model.SerializeToString() == before


@pytest.mark.parametrize("seed", range(4))
def test_every_unit_boundary_of_a_network_can_be_cut(seed: int) -> None:
    space = load_space("cifar").restricted("aggregator")
    network = describe(space, Sampler(space, np.random.default_rng(seed)).uniform())
    operators = network.operators("aggregator")
    model = render(operators)
    for item in network.aggregator[:-1]:
        last = [op.output.name for op in operators if op.output.name.startswith(item.slot + ".")][-1]
        assert cut(model, [last], strict=True).tensors == (last,)
        assert_halves_equal_whole(model, [last])


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.9])
def test_truncated_file_is_named(tmp_path: Path, keep: float) -> None:
    body = residual_net().SerializeToString()
    file = tmp_path / "model.onnx"
    file.write_bytes(body[: int(len(body) * keep)])
    with pytest.raises(ModelError, match=r"model\.onnx"):
        load_model(file)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"absent\.onnx: cannot be read"):
        load_model(tmp_path / "absent.onnx")


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "location",
    ["../secret.bin", "ABSOLUTE", "link.bin", "folder/secret.bin", "pipe.bin", "/dev/zero", "nowhere.bin", ".", ""],
)
def test_weights_of_a_model_lie_beside_it_or_it_is_refused(tmp_path: Path, location: str) -> None:
    content = np.arange(1, 5, dtype=np.float32)
    directory, secret = tmp_path / "model", tmp_path / "secret.bin"
    directory.mkdir()
    for file in (secret, directory / "weights.bin"):
        file.write_bytes(content.tobytes())
    (directory / "link.bin").symlink_to(secret)
    (directory / "folder").symlink_to(tmp_path)
    os.mkfifo(directory / "pipe.bin")

    def load(at: str) -> onnx.ModelProto:
        weights = TensorProto(name="w", dims=[4], data_type=TensorProto.FLOAT, data_location=TensorProto.EXTERNAL)
        weights.external_data.add(key="location", value=at)
        ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [4]) for name in ("x", "y")]
        graph = helper.make_graph([helper.make_node("Add", ["x", "w"], ["y"])], "g", ends[:1], ends[1:], [weights])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        (directory / "model.onnx").write_bytes(model.SerializeToString())
        return load_model(directory / "model.onnx")

    np.testing.assert_array_equal(onnx.numpy_helper.to_array(load("weights.bin").graph.initializer[0]), content)
    with pytest.raises(ModelError, match=r"model\.onnx: ") as error:
        load(str(secret) if location == "ABSOLUTE" else location)
    assert "\n" not in str(error.value)


def test_halves_of_a_model_with_dynamic_shapes_are_valid() -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("Shape", ["a"], ["s"]),
        helper.make_node("Slice", ["s", "zero", "two", "zero"], ["batch"]),
        helper.make_node("Concat", ["batch", "rest"], ["t"], axis=0),
        helper.make_node("Reshape", ["a", "t"], ["r"]),
        helper.make_node("Neg", ["r"], ["n"]),
        helper.make_node("Exp", ["n"], ["y"]),
    ]
    values = {"x": ["n", 4, "h", "w"], "y": ["n", 4, "l"]}
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in values.items()]
    constants = {"zero": 0, "two": 2, "rest": -1}
    initialisers = [helper.make_tensor(name, TensorProto.INT64, [1], [value]) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "dynamic", ends[:1], ends[1:], initialisers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 12)], ir_version=8)
    for link in ("a", "r", "n"):
        halves = cut(model, [link])
        for side in (halves.head, halves.tail):
            onnx.checker.check_model(side, full_check=True)


def test_nodes_in_any_order_are_read_and_cut(tmp_path: Path) -> None:
    shuffled, model = residual_net(), residual_net()
    del shuffled.graph.node[:]
    shuffled.graph.node.extend(reversed(model.graph.node))
    onnx.save(shuffled, tmp_path / "shuffled.onnx")
    for unsorted in (shuffled, load_model(tmp_path / "shuffled.onnx")):
        halves = cut(unsorted, ["active"])
        for side in (halves.head, halves.tail):
            onnx.checker.check_model(side, full_check=True)
        assert halves.tensors == ("active", "stem")
