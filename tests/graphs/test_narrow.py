"""What crosses a cut in fewer bits: the same network, but for what the bits lost."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from splitkit.errors import ModelError
from splitkit.graphs.cut import cut
from splitkit.graphs.narrow import LinkDtype, affine, narrowed
from splitkit.graphs.quantisation import stated_quantisation
from splitkit.graphs.session import Session
from splitkit.partition.proof import prove
from tests.bundle.plain_models import image_twice, inputs_of, plain, residual

RANGES = dict.fromkeys(("inner", "first", "active"), (-3.0, 5.0))


@pytest.mark.parametrize("dtype", ["float16", "uint8"])
@pytest.mark.parametrize(("model", "at"), [(plain(), "active"), (residual(), "inner"), (image_twice(), "inner")])
def test_halves_of_a_narrowed_model_are_that_model(model: onnx.ModelProto, at: str, dtype: LinkDtype) -> None:
    before = model.SerializeToString()
    found = narrowed(model, [at], dtype, RANGES)
    assert model.SerializeToString() == before
    onnx.checker.check_model(found.model, full_check=True)
    halves = cut(found.model, found.at([at]))
    assert set(halves.tensors) == set(found.sent.values())
    assert {value.name: value.type.tensor_type.elem_type for value in halves.head.graph.output} == dict.fromkeys(
        halves.tensors, TensorProto.UINT8 if dtype == "uint8" else TensorProto.FLOAT16
    )
    frames = [{"pixels": frame} for frame in inputs_of(model, 2)]
    proof = prove(found.model, halves, *frames)
    assert proof.identical
    assert not proof.silent
    exact, actual = (Session(each)(frames[0])["logits"] for each in (model, found.model))
    assert not np.array_equal(exact, actual)  # something is lost, and not much
    np.testing.assert_allclose(actual, exact, atol=0.05 * float(np.abs(exact).max()))


def test_codes_mean_what_the_metadata_says() -> None:
    found = narrowed(plain(), ["active"], "uint8", RANGES)
    halves = cut(found.model, [found.sent["active"]])
    frame = {"pixels": inputs_of(plain(), 1)[0]}
    codes = Session(halves.head)(frame)[found.sent["active"]]
    scale, zero_point = stated_quantisation(halves.head)[found.sent["active"]]
    assert codes.dtype == np.uint8
    exact = Session(cut(plain(), ["active"]).head)(frame)["active"]
    real = (codes.astype(np.float32) - zero_point) * scale
    within = (exact > -3) & (exact < 5)
    assert within.mean() > 0.9
    assert float(np.abs(real - exact)[within].max()) <= 0.51 * scale


@pytest.mark.parametrize(("low", "high"), [(-1.0, 1.0), (0.5, 2.0), (-4.0, -1.0), (0.0, 0.0)])
def test_zero_has_a_code_of_its_own(low: float, high: float) -> None:
    scale, zero_point = affine(low, high)
    assert 0 <= zero_point <= 255
    assert scale > 0
    for end in (min(low, 0.0), max(high, 0.0)):
        assert abs(end - (np.clip(np.rint(end / scale) + zero_point, 0, 255) - zero_point) * scale) <= 0.51 * scale


def test_what_is_ahead_of_the_cut_reads_the_tensor_as_it_was() -> None:
    found = narrowed(residual(), ["inner"], "uint8", RANGES)
    readers = {node.output[0]: set(node.input) for node in found.model.graph.node}
    assert "first" in readers["inner"]
    assert readers["active"] == {"inner_received"}
    assert readers["second"] == {"active", "first_received"}


def test_names_that_are_taken_are_left_alone() -> None:
    model = plain()
    for node in model.graph.node:
        for names in (node.input, node.output):
            for i, name in enumerate(names):
                names[i] = "active_uint8" if name == "second" else name
    found = narrowed(model, ["active"], "uint8")
    assert found.sent == {"active": "active_uint8_"}
    onnx.checker.check_model(found.model, full_check=True)


def test_bodies_of_control_flow_read_what_came_over_the_link() -> None:
    branch = {
        name: helper.make_graph(
            [helper.make_node(operator, ["active"], [f"{name}_out"])],
            name, [], [helper.make_tensor_value_info(f"{name}_out", TensorProto.FLOAT, None)],
        )
        for name, operator in (("then", "Relu"), ("otherwise", "Neg"))
    }  # fmt: skip
    model = helper.make_model(
        helper.make_graph(
            [
                helper.make_node("Abs", ["x"], ["active"]),
                helper.make_node("If", ["flag"], ["y"], then_branch=branch["then"], else_branch=branch["otherwise"]),
            ],
            "conditional",
            [
                helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 4)),
                helper.make_tensor_value_info("flag", TensorProto.BOOL, ()),
            ],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 4))],
        ),
        opset_imports=[helper.make_opsetid("", 17)], ir_version=9,
    )  # fmt: skip
    found = narrowed(model, ["active"], "uint8", {"active": (0, 2.55)})
    x = np.array([[0.101, -0.5, 2.0, 0.004]], dtype=np.float32)
    for flag, sign in ((True, 1), (False, -1)):
        y = Session(found.model)({"x": x, "flag": np.array(flag)})["y"]
        np.testing.assert_allclose(y, sign * np.array([[0.1, 0.5, 2.0, 0.0]]), atol=1e-6)


def test_an_opset_without_the_operators_is_named() -> None:
    model = plain()
    model.opset_import[0].version = 9
    with pytest.raises(ModelError, match=r"opset 9.*10 or later"):
        narrowed(model, ["active"], "uint8")


def test_where_nothing_is_float32_nothing_is_done() -> None:
    twice = narrowed(plain(), ["active"], "uint8")
    again = narrowed(twice.model, [twice.sent["active"]], "uint8")
    assert again.sent == {}
    assert again.model == twice.model
