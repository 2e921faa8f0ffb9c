"""What the rewrites fold, and what they must leave alone."""

import numpy as np

from splitkit.compiler.simplify import simplify
from splitkit.graphs.reading import read_onnx
from tests.compiler.graphs import Net


def operators(net: Net, output: str) -> list[str]:
    return [node.op for node in simplify(read_onnx(net.model(output))).nodes]


def test_batch_norm_and_channel_scales_disappear_into_the_convolution() -> None:
    net = Net()
    x = net.batch_norm(net.conv(net.input("x", 1, 3, 8, 8), 3, 6), 6)
    x = net.op("Mul", x, net.const(np.arange(1, 7).reshape(1, 6, 1, 1)))
    assert operators(net, net.op("Add", x, net.const(0.5))) == ["Conv"]


def test_batch_norm_that_follows_no_convolution_is_one_operator() -> None:
    net = Net()
    x = net.act(net.input("x", 1, 3, 8, 8), "Relu")
    assert operators(net, net.batch_norm(x, 3)) == ["Relu", "MulAdd"]


def test_a_quantisation_step_is_not_folded_into_weights() -> None:
    net = Net()
    x = net.op("Div", net.conv(net.input("x", 1, 3, 8, 8), 3, 6), net.const(0.05))
    assert operators(net, net.op("Round", x)) == ["Conv", "Div", "Round"]


def test_a_convolution_that_others_read_keeps_its_weights() -> None:
    net = Net()
    x = net.conv(net.input("x", 1, 3, 8, 8), 3, 6)
    assert operators(net, net.op("Add", net.batch_norm(x, 6), x)) == ["Conv", "MulAdd", "Add"]


def test_activations_are_recognised_from_their_parts() -> None:
    net = Net()
    x = net.act(net.input("x", 1, 8), "swish")
    gate = net.op(
        "Div", net.op("Clip", net.op("Add", x, net.const(3.0)), net.const(0.0), net.const(6.0)), net.const(6.0)
    )
    assert operators(net, net.op("Mul", x, gate)) == ["Swish", "HardSwish"]


def test_padding_joins_the_convolution() -> None:
    net = Net()
    x = net.op("Pad", net.input("x", 1, 3, 8, 8), net.const([0, 0, 0, 0, 0, 0, 1, 1], "int64"))
    (conv,) = simplify(read_onnx(net.model(net.conv(x, 3, 4, 3, 2, pads=[0, 0, 0, 0])))).nodes
    assert list(conv.attrs["pads"]) == [0, 0, 1, 1]
