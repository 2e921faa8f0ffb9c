"""A model shared by two sides, wherever it is cut."""

import onnx
import pytest
from onnx import TensorProto, helper

from splitkit.graphs.cut import computing
from splitkit.graphs.edges import Edges, inputs_of
from splitkit.graphs.placement import placed
from tests.partition.several import supervised


def with_unread(model: onnx.ModelProto, read_by: str | None = None) -> onnx.ModelProto:
    """With an input that nobody reads, or only an operator that nobody needs."""
    model.graph.input.append(helper.make_tensor_value_info("unread", TensorProto.FLOAT, (1, 2)))
    if read_by:
        model.graph.node.append(helper.make_node("Relu", ["unread"], [read_by]))
    return model


@pytest.mark.parametrize("read_by", [None, "dead"])
@pytest.mark.parametrize("at", [("image",), ("feature", "logits"), ("feature",)])
def test_what_no_output_needs_is_asked_of_nobody(at: tuple[str, ...], read_by: str | None) -> None:
    model = with_unread(supervised(), read_by)
    before, edges = model.SerializeToString(), Edges.of(model)
    assert edges.captured_names == ("image",)
    halves = placed(model, at, edges)
    assert model.SerializeToString() == before
    assert set(halves.crossing) == set(at)
    for half in halves.models.values():
        onnx.checker.check_model(half, full_check=True)
        assert "unread" not in {tensor.name for tensor in inputs_of(half)}
        assert "dead" not in {name for node in half.graph.node for name in node.output}


def test_both_ends_leave_one_side_nothing_to_do() -> None:
    model = supervised()
    edges = Edges.of(model)
    assert {*placed(model, ("image",), edges).models} == {"aggregator"}
    assert {*placed(model, ("feature", "logits"), edges).models} == {"sensor"}
    halves = placed(model, ("feature",), edges)
    assert [value.name for value in halves.models["sensor"].graph.output] == ["feature"]
    assert [value.name for value in halves.models["aggregator"].graph.output] == ["logits"]


def test_a_part_computes_what_it_is_asked_for_in_that_order() -> None:
    part = computing(supervised(), ["pooled", "feature"])
    assert [value.name for value in part.graph.output] == ["pooled", "feature"]
    assert {node.op_type for node in part.graph.node} == {"Conv", "Relu", "GlobalAveragePool"}
    assert {tensor.name for tensor in part.graph.initializer} == {"w0", "w1"}
