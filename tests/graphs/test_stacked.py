"""Tensors of several views as one input."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from splitkit.graphs.edges import inputs_of
from splitkit.graphs.stacked import stacked
from tests.graphs.cuttable import run


def difference(opset: int, extra: str = "other") -> onnx.ModelProto:
    """`left` - `right` + `other`, (1, 3) each."""
    nodes = [
        helper.make_node("Sub", ["left", "right"], ["apart"]),
        helper.make_node("Add", ["apart", extra], ["result"]),
    ]
    values = {
        n: helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 3]) for n in ("left", "right", extra, "result")
    }
    inputs = [values[name] for name in (extra, "left", "right")]
    graph = helper.make_graph(nodes, "difference", inputs, [values["result"]])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=7)


@pytest.mark.parametrize("opset", [9, 11, 13, 18])
def test_views_come_in_a_row_in_every_opset(opset: int) -> None:
    model = difference(opset)
    before = model.SerializeToString()
    found = stacked(model, model, {"left": ("left", "right")})
    assert model.SerializeToString() == before
    onnx.checker.check_model(found, full_check=True)
    assert [(tensor.name, tensor.shape) for tensor in inputs_of(found)] == [("left_views", (2, 3)), ("other", (1, 3))]
    both, other = np.array([[5, 6, 7], [1, 1, 2]], np.float32), np.full((1, 3), 10, np.float32)
    np.testing.assert_array_equal(run(found, {"left_views": both, "other": other})["result"], [[14, 15, 15]])


def test_a_name_that_is_taken_is_not_taken_again() -> None:
    model = difference(13, extra="left_views")
    found = stacked(model, model, {"left": ("left", "right")})
    onnx.checker.check_model(found, full_check=True)
    assert [tensor.name for tensor in inputs_of(found)] == ["left_views_", "left_views"]
