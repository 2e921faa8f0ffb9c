"""Quantised models for tests: single layers with random steps, and a network with everything in it."""

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

DTYPES = {"uint8": TensorProto.UINT8, "int8": TensorProto.INT8}


def convolution(
    rng: np.random.Generator, channels: int, out: int, size: tuple[int, int], kernel: tuple[int, int],
    stride: tuple[int, int] = (1, 1), pads: tuple[int, int, int, int] = (0, 0, 0, 0),
    dilation: tuple[int, int] = (1, 1), groups: int = 1, zero: int = 3, out_zero: int = 100, activation: str = "",
    dtype: str = "uint8", batch: int = 1, weights: NDArray[np.int8] | None = None,
) -> onnx.ModelProto:  # fmt: skip
    """DequantizeLinear, Conv, an activation, QuantizeLinear: `x` and `y` are bytes."""
    kh, kw = kernel
    if weights is None:
        weights = rng.integers(-128, 128, (out, channels // groups, kh, kw)).astype(np.int8)
    scales = (rng.uniform(0.2, 1.5, out) / (40 * np.sqrt(weights[0].size))).astype(np.float32)
    sx = np.float32(0.02)
    constants = {
        "w": weights, "sw": scales, "zw": np.zeros(out, np.int8), "sx": sx, "zx": np.array(zero, dtype),
        "b": rng.integers(-2000, 2000, out).astype(np.int32), "sb": scales * sx, "zb": np.zeros(out, np.int32),
        "sy": np.float32(0.03), "zy": np.array(out_zero, dtype), "low": np.float32(0), "six": np.float32(2),
    }  # fmt: skip
    nodes = [
        helper.make_node("DequantizeLinear", ["x", "sx", "zx"], ["real"]),
        helper.make_node("DequantizeLinear", ["w", "sw", "zw"], ["weight"], axis=0),
        helper.make_node("DequantizeLinear", ["b", "sb", "zb"], ["bias"], axis=0),
        helper.make_node(
            "Conv",
            ["real", "weight", "bias"],
            ["sums"],
            pads=pads,
            strides=stride,
            dilations=dilation,
            group=groups,
        ),
    ]
    last = "sums"
    if activation:
        bounds = ["low", "six"] if activation == "Clip" else []
        nodes.append(helper.make_node(activation, [last, *bounds], ["activated"]))
        last = "activated"
    nodes.append(helper.make_node("QuantizeLinear", [last, "sy", "zy"], ["y"]))
    height, width = (
        (size[i] + pads[i] + pads[i + 2] - dilation[i] * (kernel[i] - 1) - 1) // stride[i] + 1 for i in (0, 1)
    )
    return model(nodes, constants, dtype, (batch, channels, *size), (batch, out, height, width))


def model(
    nodes: list[onnx.NodeProto], constants: dict[str, Any], dtype: str, given: tuple[int, ...], result: tuple[int, ...]
) -> onnx.ModelProto:
    """From `x` to `y`, both bytes."""
    used = {name for node in nodes for name in node.input}
    graph = helper.make_graph(
        nodes, "quantised",
        [helper.make_tensor_value_info("x", DTYPES[dtype], given)],
        [helper.make_tensor_value_info("y", DTYPES[dtype], result)],
        [numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items() if name in used],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def network(rng: np.random.Generator, channels: int = 3, size: int = 16) -> onnx.ModelProto:
    """A float network of every kind of operator that runs in integers: `x` float32 to `y` float32."""
    constants: dict[str, NDArray[Any]] = {}
    nodes: list[onnx.NodeProto] = []

    def constant(name: str, value: Any) -> str:
        constants[name] = np.asarray(value)
        return name

    def conv(x: str, y: str, i: int, o: int, k: int, groups: int = 1, stride: int = 1) -> str:
        weight = rng.normal(0, 1.6 / np.sqrt(k * k * i / groups), (o, i // groups, k, k)).astype(np.float32)
        bias = rng.normal(0, 0.3, o).astype(np.float32)
        nodes.append(
            helper.make_node(
                "Conv",
                [x, constant(f"{y}.w", weight), constant(f"{y}.b", bias)],
                [y],
                y,
                pads=[k // 2] * 4,
                strides=[stride] * 2,
                group=groups,
            )
        )
        return y

    def put(op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(op, inputs, [output], output, **attributes))
        return output

    x = put("HardSwish", [conv("x", "stem", channels, 16, 3, stride=2)], "stem.act")
    y = put("Relu", [conv(x, "expand", 16, 40, 1)], "expand.act")
    y = put("HardSwish", [conv(y, "depthwise", 40, 40, 5, 40)], "depthwise.act")
    s = put("GlobalAveragePool", [y], "squeeze")
    s = put("Relu", [conv(s, "excite", 40, 12, 1)], "excite.act")
    s = put("HardSigmoid", [conv(s, "gate", 12, 40, 1)], "gate.act", alpha=1 / 6, beta=0.5)
    y = put("Mul", [y, s], "scaled")
    y = put("Add", [conv(y, "project", 40, 16, 1), x], "sum")
    y = put("Clip", [conv(y, "grouped", 16, 24, 3, 2), constant("zero", np.float32(0)), constant("six", np.float32(6))],
            "grouped.act")  # fmt: skip
    y = put("Sigmoid", [conv(y, "last", 24, 20, 1, stride=2)], "last.act")
    y = put("GlobalAveragePool", [y], "pooled")
    y = put("Flatten", [y], "flat")
    weight = rng.normal(0, 0.5, (10, 20)).astype(np.float32)
    put("Gemm", [y, constant("linear.w", weight), constant("linear.b", np.zeros(10, np.float32))], "y", transB=1)
    graph = helper.make_graph(
        nodes, "float",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, channels, size, size])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 10])],
        [numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items()],
    )  # fmt: skip
    return onnx.shape_inference.infer_shapes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    )


def quantised_network(seed: int = 0) -> tuple[onnx.ModelProto, onnx.ModelProto, list[NDArray[np.float32]]]:
    """That network, itself quantised, and images that it may be run on."""
    from splitkit.graphs.calibrate import quantise

    rng = np.random.default_rng(seed)
    whole = network(rng)
    images = [smooth(rng, (1, 3, 16, 16)) for _ in range(24)]
    return whole, quantise(whole, [{"x": image} for image in images[:16]]), images[16:]


def smooth(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Waves of random direction: nearby pixels are alike, as in pictures."""
    n, c, h, w = shape
    y, x = np.meshgrid(np.arange(h), np.arange(w), indexing="ij")
    waves = [
        np.sin(x * rng.uniform(-1, 1) + y * rng.uniform(-1, 1) + rng.uniform(0, 6)) * rng.uniform(0.3, 1)
        for _ in range(n * c)
    ]
    return np.stack(waves).reshape(shape).astype(np.float32)
