"""What quantised models compute: the reference beside ONNX Runtime, and the arithmetic by itself."""

from collections import Counter
from fractions import Fraction
from math import floor

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from splitkit.graphs.int8.patterns import in_integers
from splitkit.graphs.int8.reference import evaluate
from splitkit.graphs.int8.requantise import Requantisation, products, requantisation
from splitkit.graphs.reading import read_onnx
from splitkit.graphs.session import Session
from tests.graphs.int8.models import convolution, model, quantised_network


@given(st.integers(-(2**31) + 1, 2**31 - 1), st.floats(1e-9, 0.2499), st.integers(0, 255))
@settings(max_examples=300, deadline=None)
def test_a_sum_is_rounded_once(total: int, scale: float, zero: int) -> None:
    rule = requantisation(np.array([scale]), zero, 0, 255)
    assert rule is not None
    assert 1 <= rule.shift <= 22
    assert 0 <= int(rule.multipliers[0]) < 2**31
    exact = Fraction(total) * int(rule.multipliers[0]) / 2 ** (32 + rule.shift) + zero
    expected = min(max(floor(exact + Fraction(1, 2)), 0), 255)
    assert rule.apply(np.array([[total]]), axis=1).item() == expected
    # The multiplier is the scale to 30 bits, or where that is tiny to what is left of them.
    assert abs(int(rule.multipliers[0]) / 2 ** (32 + rule.shift) - scale) <= 2.0 ** -(33 + rule.shift)


def test_scales_that_no_layer_has_are_refused() -> None:
    assert requantisation(np.array([0.25]), 0, 0, 255) is None
    assert requantisation(np.array([0.0]), 0, 0, 255) is None
    assert requantisation(np.array([1e-3, np.inf]), 0, 0, 255) is None


@given(st.floats(1e-4, 100), st.floats(1e-4, 100), st.integers(0, 255))
def test_terms_of_a_sum_stay_in_32_bits(a: float, b: float, zero: int) -> None:
    rule = products((a, b), 21, zero, 0, 255)
    assert rule is not None
    largest = sum(255 * m for m in rule.multipliers) + rule.offset
    assert largest < 2**31
    assert max(rule.multipliers) >= 2**20 or rule.shift == 22


def test_multipliers_are_those_of_the_channel() -> None:
    rule = Requantisation(np.array([1 << 30, 1 << 29], np.int32), 4, 10, 0, 255)
    np.testing.assert_array_equal(rule.apply(np.array([[1000, 1000]])), [[26, 18]])  # 15.625 and 7.8125, and 10


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("activation", ["", "Relu", "Clip"])
def test_a_convolution_is_what_onnx_runtime_makes_of_it(seed: int, activation: str) -> None:
    rng = np.random.default_rng(seed)
    whole = convolution(
        rng, 8, 12, (9, 7), (3, 3), (1 + seed % 2,) * 2, (1, 0, 1, 1), groups=(1, 4)[seed % 2], activation=activation,
        out_zero=0 if activation else 100,
    )  # fmt: skip
    graph = in_integers(read_onnx(whole))
    assert [node.op for node in graph.nodes] == ["IntegerConv"]
    x = rng.integers(0, 256, (1, 8, 9, 7)).astype(np.uint8)
    found, expected = evaluate(graph, {"x": x})["y"], Session(whole)({"x": x})["y"]
    assert expected.std() > 10
    difference = np.abs(found.astype(int) - expected)
    assert difference.max() <= 1  # a sum between two steps may go either way
    assert (difference > 0).mean() < 0.01


def test_a_network_runs_in_integers_from_end_to_end() -> None:
    whole, quantised, images = quantised_network()
    graph = in_integers(read_onnx(quantised))
    assert Counter(node.op for node in graph.nodes) == {
        "QuantizeLinear": 1, "IntegerConv": 8, "ByteTable": 4, "IntegerMean": 2, "IntegerMul": 1, "IntegerAdd": 1,
        "Flatten": 1, "IntegerLinear": 1, "DequantizeLinear": 1,
    }  # fmt: skip
    runtime, floats = Session(quantised), Session(whole)
    step = next(graph.constants[node.inputs[1]].item() for node in graph.nodes if node.op == "DequantizeLinear")
    lost = []
    for image in images:
        found, expected = evaluate(graph, {"x": image})["y"], runtime({"x": image})["y"]
        assert np.abs(found - expected).max() <= 2.01 * step
        lost.append(np.abs(found - floats({"x": image})["y"]).max())
    scores = np.stack([floats({"x": image})["y"] for image in images])
    assert np.max(lost) < 0.15 * np.abs(scores).max()
    assert scores.std(0).max() > 5 * step, "scores that hardly vary prove nothing"


def test_bytes_of_either_sign_and_signed_weights_with_a_zero_point() -> None:
    rng = np.random.default_rng(5)
    whole = convolution(rng, 4, 6, (5, 5), (3, 3), pads=(1, 1, 1, 1), zero=-7, out_zero=-3, dtype="int8")
    x = rng.integers(-128, 128, (1, 4, 5, 5)).astype(np.int8)
    found = evaluate(in_integers(read_onnx(whole)), {"x": x})["y"]
    assert np.abs(found.astype(int) - Session(whole)({"x": x})["y"]).max() <= 1
    unsigned = onnx.ModelProto()
    unsigned.CopyFrom(whole)
    for tensor in unsigned.graph.initializer:  # the same weights as unsigned bytes around 128
        if tensor.name in ("w", "zw"):
            value = (onnx.numpy_helper.to_array(tensor).astype(int) + 128).astype(np.uint8)
            tensor.CopyFrom(onnx.numpy_helper.from_array(value, tensor.name))
    np.testing.assert_array_equal(evaluate(in_integers(read_onnx(unsigned)), {"x": x})["y"], found)


@pytest.mark.parametrize("why", ["constant output", "weights too far from zero", "no steps behind it"])
def test_what_cannot_run_in_integers_stays_as_it_is(why: str) -> None:
    rng = np.random.default_rng(1)
    whole = convolution(rng, 4, 6, (5, 5), (3, 3))
    for tensor in whole.graph.initializer:
        value = onnx.numpy_helper.to_array(tensor)
        if why == "constant output" and tensor.name == "sy":
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.float32(1e-38), "sy"))
        if why == "weights too far from zero" and tensor.name == "zw":
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.full(value.shape, 100, np.int8), "zw"))
    if why == "no steps behind it":
        whole.graph.node[-1].CopyFrom(helper.make_node("Cast", ["sums"], ["y"], to=onnx.TensorProto.UINT8))
    assert "IntegerConv" not in {node.op for node in in_integers(read_onnx(whole)).nodes}


def test_a_function_of_bytes_becomes_a_table() -> None:
    constants = {"s": np.float32(0.05), "z": np.uint8(120), "sy": np.float32(0.02), "zy": np.uint8(5)}
    nodes = [
        helper.make_node("DequantizeLinear", ["x", "s", "z"], ["real"]),
        helper.make_node("Sigmoid", ["real"], ["gate"]),
        helper.make_node("Mul", ["real", "gate"], ["swish"]),  # two operators, one tensor
        helper.make_node("QuantizeLinear", ["swish", "sy", "zy"], ["y"]),
    ]
    whole = model(nodes, constants, "uint8", (1, 256), (1, 256))
    graph = in_integers(read_onnx(whole))
    assert [node.op for node in graph.nodes] == ["ByteTable"]
    x = np.arange(256, dtype=np.uint8)[None]
    found, expected = evaluate(graph, {"x": x})["y"], Session(whole)({"x": x})["y"]
    assert np.abs(found.astype(int) - expected).max() <= 1
    assert (found != expected).mean() < 0.02
