"""What is read of a model, whatever its opset and however its author wrote it down."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from splitkit.compiler.fallback import lower_fallback
from splitkit.errors import ModelError
from splitkit.exporters import CompileTarget
from splitkit.exporters.tvm import TvmExporter
from splitkit.graphs.reading import read_onnx
from splitkit.graphs.reading.graph import Type
from tests.compiler.test_agreement import check

Nodes = list[onnx.NodeProto]


def model(
    nodes: Nodes, constants: dict[str, object] | None = None, opset: int = 13, y: list[int] | None = None
) -> onnx.ModelProto:
    """A graph from x (2, 4, 3, 5) to y."""
    values = [numpy_helper.from_array(np.asarray(v), name) for name, v in (constants or {}).items()]
    ends = (
        (helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 4, 3, 5]),),
        (helper.make_tensor_value_info("y", TensorProto.FLOAT, y),),
    )
    graph = helper.make_graph(nodes, "small", *ends, values)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def node(op: str, inputs: str, output: str, **attrs: object) -> onnx.NodeProto:
    """A node; its inputs are written as words, a missing one as `-`."""
    return helper.make_node(op, ["" if name == "-" else name for name in inputs.split()], [output], output, **attrs)


def flattened(opset: int) -> onnx.ModelProto:
    """What exporters write for `x.view(x.shape[0], x.shape[1], x.shape[2] * x.shape[3])`."""
    axes = {"axes": [0]} if opset < 13 else {}
    constants = {"i0": np.int64(0), "i1": np.int64(1), "i2": np.int64(2), "i3": np.int64(3)}
    nodes = [
        node("Shape", "x", "s"),
        *(node("Gather", f"s i{i}", f"d{i}") for i in range(4)),
        node("Mul", "d2 d3", "d23"),
    ]
    nodes += [node("Unsqueeze", name if axes else f"{name} zero", f"{name}v", **axes) for name in ("d0", "d1", "d23")]
    nodes += [node("Concat", "d0v d1v d23v", "shape", axis=0), node("Reshape", "x shape", "r"), node("Tanh", "r", "y")]
    return model(nodes, constants | {"zero": np.array([0])}, opset)


@pytest.mark.parametrize("opset", [7, 11, 13, 18, 23])
def test_arithmetic_on_static_shapes_leaves_nothing_behind(opset: int) -> None:
    assert [n.op for n in read_onnx(flattened(opset)).nodes] == ["Reshape", "Tanh"]


def test_nodes_in_any_order_compile(tmp_path: Path) -> None:
    nodes = [node("Tanh", "b", "y"), node("Abs", "x", "a"), node("Relu", "a", "b")]
    assert [n.op for n in read_onnx(model(nodes)).nodes] == ["Abs", "Relu", "Tanh"]


def test_an_operator_of_another_domain_is_not_taken_for_one_of_onnx() -> None:
    one = model([helper.make_node("Relu", ["x"], ["y"], "act", domain="com.example")])
    with pytest.raises(ModelError, match=r"'act' \(Relu\): its domain 'com.example'"):
        read_onnx(one)


def test_values_drawn_at_random_are_not_constants() -> None:
    nodes = [node("RandomNormal", "", "noise", shape=[2, 4, 3, 5]), node("Add", "x noise", "y")]
    with pytest.raises(ModelError, match=r"'noise' \(RandomNormal\)"):
        TvmExporter().lower(model(nodes), CompileTarget())


def test_an_output_that_is_not_what_the_graph_states_is_refused() -> None:
    with pytest.raises(
        ModelError, match=r"'y' is stated to be float32\[2, 4, 3, 6\] and computed as float32\[2, 4, 3, 5\]"
    ):
        read_onnx(model([node("Relu", "x", "y")], y=[2, 4, 3, 6]))


def test_a_default_lowering_of_another_size_is_refused() -> None:
    graph = read_onnx(model([node("Tan", "x", "y")]))
    wrong = replace(graph, types=dict(graph.types) | {"y": Type((2, 4, 3, 4), "float32")})
    with pytest.raises(
        ModelError, match=r"\(Tan\).*would write float32\[2, 4, 3, 5\], and float32\[2, 4, 3, 4\] is meant"
    ):
        lower_fallback(wrong, graph.nodes)


def test_a_default_lowering_that_changes_nothing_is_a_copy(tmp_path: Path) -> None:
    check(model([node("Tan", "x", "a"), node("Tile", "a ones", "y")], {"ones": np.array([1, 1, 1, 1])}), tmp_path)


def test_the_branch_that_is_taken_is_compiled(tmp_path: Path) -> None:
    def branch(op: str) -> onnx.GraphProto:
        value = helper.make_empty_tensor_value_info("chosen")
        return helper.make_graph([node(op, "a", "chosen")], op, [], [value])

    nodes = [
        node("Abs", "x", "a"),
        helper.make_node("If", ["yes"], ["c"], "if", then_branch=branch("Tanh"), else_branch=branch("Neg")),
        node("Relu", "c", "y"),
    ]
    assert [n.op for n in read_onnx(model(nodes, {"yes": np.array(True)})).nodes] == ["Abs", "Tanh", "Relu"]


def test_functions_of_the_model_are_read_as_their_bodies() -> None:
    body = helper.make_function(
        "local", "Twice", ["a"], ["b"], [node("Tanh", "a", "t"), node("Tanh", "t", "b")], [helper.make_opsetid("", 13)]
    )
    one = model([helper.make_node("Twice", ["x"], ["y"], domain="local")])
    one.opset_import.append(helper.make_opsetid("local", 1))
    one.functions.append(body)
    assert [n.op for n in read_onnx(one).nodes] == ["Tanh", "Tanh"]


@pytest.mark.parametrize("opset", [6, 28])
def test_the_oldest_and_the_newest_opset_are_read(opset: int) -> None:
    assert len(read_onnx(model([node("Tanh", "x", "y")], opset=opset)).nodes) == 1


def test_an_opset_that_is_too_old_is_named() -> None:
    with pytest.raises(ModelError, match=r"'small' is of opset 3 \(6 to \d+ can be read\)"):
        read_onnx(model([node("Tanh", "x", "y")], opset=3))


def test_tvm_says_nothing(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    taken = model([node("Gather", "x two", "g", axis=3), node("Tan", "g", "y")], {"two": np.array([2, 0])})
    TvmExporter().compile(taken, CompileTarget(), tmp_path)
    refused = model([node("PRelu", "x slope", "y")], {"slope": np.ones((5, 4, 3), np.float32)})
    for bad in (refused, model([node("Einsum", "x", "y", equation="abcd,abcd->a")])):
        with pytest.raises(ModelError) as caught:
            TvmExporter().lower(bad, CompileTarget())
        assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_whole_numbers_are_moved_as_they_are(tmp_path: Path) -> None:
    large = 2**40 + 1
    nodes = [
        node("Cast", "x", "i", to=TensorProto.INT64),
        node("Add", "i large", "a"),
        node("Concat", "a a", "c", axis=0),
    ]
    one = model(
        [*nodes, node("Sub", "c large", "d"), node("Cast", "d", "y", to=TensorProto.FLOAT)], {"large": np.int64(large)}
    )
    session = TvmExporter().load(TvmExporter().compile(one, CompileTarget(), tmp_path))
    x = np.arange(120, dtype=np.float32).reshape(2, 4, 3, 5)
    np.testing.assert_array_equal(session.run({"x": x})["y"], np.concatenate([x, x]))
