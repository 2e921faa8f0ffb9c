"""Operators as an ONNX graph with random weights: all that a compiler needs to say which kernels a unit becomes.

Latency does not depend on the values of weights, so neither lowering nor timing an architecture needs a trained
network, or torch. Weights preserve variance, so that outputs of deep chains neither vanish nor overflow.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from splitkit.space.operators import FAR, NORMALISE_SCALE, NORMALISE_SHIFT, Operator
from splitkit.space.tensor import TensorSpec
from splitkit.space.units import PRESENT

OPSET = 20
IR_VERSION = 10
LINK_SCALE, LINK_ZERO_POINT = 8 / 255, 128.0
"""Stand-in quantisation of the link: it covers +-4 standard deviations of a variance-preserving layer."""


def render(operators: Sequence[Operator], seed: int = 0) -> onnx.ModelProto:
    """The graph of `operators`, static shapes, opset 20.

    Graph inputs are the tensors that no operator produces, in order of use, a mask of views behind the others; the
    output is the last operator's.

    Raises:
        ValueError: there are no operators.
    """
    if not operators:
        raise ValueError("a graph needs at least one operator")
    graph = _Graph(np.random.default_rng(seed), {t.name: op.kind for op in operators for t in op.inputs})
    produced = {op.output.name for op in operators}
    inputs = {t.name: t for op in operators for t in op.inputs if t.name not in produced}
    inputs |= {PRESENT: inputs.pop(PRESENT)} if PRESENT in inputs else {}
    for op in operators:
        graph.add(op)
    proto = helper.make_graph(
        graph.nodes,
        "splitkit",
        [_value(tensor) for tensor in inputs.values()],
        [_value(operators[-1].output)],
        graph.weights,
        value_info=[_value(op.output) for op in operators[:-1]],
    )
    return helper.make_model(proto, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)


class _Graph:
    """Nodes and initialisers, added one operator at a time."""

    def __init__(self, rng: np.random.Generator, readers: Mapping[str, str]) -> None:
        self.rng = rng
        self.readers = readers
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def add(self, op: Operator) -> None:
        """Append the nodes of one operator."""
        rules: dict[str, Callable[[Operator], None]] = {
            "conv": self._conv,
            "linear": self._linear,
            "activation": self._activation,
            "cast": self._cast,
            "resize": self._resize,
            "normalise": self._normalise,
            "quantise": self._quantise,
            "dequantise": self._dequantise,
            "stack_views": self._reshape,
            "flatten": self._reshape,
            "sum_views": self._sum_views,
            "mean_views": self._mean_views,
            "max_views": self._max_views,
            "softmax_views": self._softmax_views,
            "share_views": self._share_views,
            "add": partial(self._plain, "Add"),
            "scale": partial(self._plain, "Mul"),
            "pool": partial(self._plain, "GlobalAveragePool"),
        }
        rules[op.kind](op)

    def _plain(self, kind: str, op: Operator) -> None:
        self._node(kind, [tensor.name for tensor in op.inputs], op.output.name)

    def _node(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, list(inputs), [output], name=output, **attributes))
        return output

    def _constant(self, name: str, value: NDArray[np.generic] | float) -> str:
        array = np.asarray(value, dtype=np.float32) if isinstance(value, float) else value
        self.weights.append(numpy_helper.from_array(array, name))
        return name

    def _random(self, output: str, shape: tuple[int, ...], fan_in: int) -> str:
        """Weights that keep the second moment, by what reads the output: an activation halves it, a sum adds to it."""
        gain = np.sqrt({"activation": 2.0, "add": 0.1}.get(self.readers.get(output, ""), 1.0) / fan_in)
        return self._constant(f"{output}.weight", (self.rng.standard_normal(shape) * gain).astype(np.float32))

    def _bias(self, name: str, size: int) -> str:
        return self._constant(name, (self.rng.standard_normal(size) * 0.1).astype(np.float32))

    def _conv(self, op: Operator) -> None:
        name, source = op.output.name, op.inputs[0]
        channels, per_group = op.output.shape[1], source.shape[1] // op.groups
        shape = (channels, per_group, op.kernel, op.kernel)
        weight = self._random(name, shape, per_group * op.kernel**2)
        inputs = [source.name, weight, self._bias(f"{name}.bias", channels)]
        pads = [op.kernel // 2] * 4
        window, strides = [op.kernel] * 2, [op.stride] * 2
        self._node("Conv", inputs, name, kernel_shape=window, strides=strides, pads=pads, group=op.groups)

    def _linear(self, op: Operator) -> None:
        name, source = op.output.name, op.inputs[0]
        shape = (op.output.shape[1], source.shape[1])
        weight = self._random(name, shape, source.shape[1])
        self._node("Gemm", [source.name, weight, self._bias(f"{name}.bias", shape[0])], name, transB=1)

    def _activation(self, op: Operator) -> None:
        source, name = op.inputs[0].name, op.output.name
        if op.activation == "relu6":
            low, high = self._constant(f"{name}.low", 0.0), self._constant(f"{name}.high", 6.0)
            self._node("Clip", [source, low, high], name)
        elif op.activation == "swish":
            self._node("Mul", [source, self._node("Sigmoid", [source], f"{name}.sigmoid")], name)
        elif op.activation == "hard_sigmoid":
            self._node("HardSigmoid", [source], name, alpha=1 / 6, beta=0.5)
        else:
            self._node({"relu": "Relu", "hard_swish": "HardSwish"}[op.activation], [source], name)

    def _cast(self, op: Operator) -> None:
        self._node("Cast", [op.inputs[0].name], op.output.name, to=_onnx_type(op.output.dtype))

    def _resize(self, op: Operator) -> None:
        sizes = self._constant(f"{op.output.name}.sizes", np.array(op.output.shape, dtype=np.int64))
        inputs = [op.inputs[0].name, "", "", sizes]
        self._node("Resize", inputs, op.output.name, mode="linear", coordinate_transformation_mode="half_pixel")

    def _normalise(self, op: Operator) -> None:
        name = op.output.name
        scaled = self._node("Mul", [op.inputs[0].name, self._constant(f"{name}.scale", NORMALISE_SCALE)], f"{name}.mul")
        self._node("Add", [scaled, self._constant(f"{name}.shift", NORMALISE_SHIFT)], name)

    def _quantise(self, op: Operator) -> None:
        name = op.output.name
        inverse = self._constant(f"{name}.inverse_scale", 1 / LINK_SCALE)
        at = self._node("Mul", [op.inputs[0].name, inverse], f"{name}.scaled")
        at = self._node("Add", [at, self._constant(f"{name}.zero_point", LINK_ZERO_POINT)], f"{name}.shifted")
        at = self._node("Round", [at], f"{name}.rounded")
        bounds = [self._constant(f"{name}.low", 0.0), self._constant(f"{name}.high", 255.0)]
        at = self._node("Clip", [at, *bounds], f"{name}.clipped")
        self._node("Cast", [at], name, to=TensorProto.UINT8)

    def _dequantise(self, op: Operator) -> None:
        name = op.output.name
        at = self._node("Cast", [op.inputs[0].name], f"{name}.float", to=TensorProto.FLOAT)
        at = self._node("Sub", [at, self._constant(f"{name}.zero_point", LINK_ZERO_POINT)], f"{name}.centred")
        self._node("Mul", [at, self._constant(f"{name}.scale", LINK_SCALE)], name)

    def _reshape(self, op: Operator) -> None:
        shape = self._constant(f"{op.output.name}.shape", np.array(op.output.shape, dtype=np.int64))
        self._node("Reshape", [op.inputs[0].name, shape], op.output.name)

    def _views_of(self, tensor: TensorSpec, name: str) -> list[str]:
        views = tensor.shape[0]
        parts = [f"{name}.view{i}" for i in range(views)]
        self.nodes.append(helper.make_node("Split", [tensor.name], parts, axis=0, num_outputs=views))
        return parts

    def _chained(self, kind: str, parts: Sequence[str], name: str) -> str:
        """Views one after the other: compilers read them where they are, in one chain."""
        at = parts[0]
        for i, part in enumerate(parts[1:], start=2):
            at = self._node(kind, [at, part], name if i == len(parts) else f"{name}.of{i}")
        return at

    def _sum_views(self, op: Operator) -> None:
        name, (source, *weights) = op.output.name, op.inputs
        parts = self._views_of(source, name)
        if weights:
            factors = self._views_of(weights[0], f"{name}.weight")
            pairs = enumerate(zip(parts, factors, strict=True))
            parts = [self._node("Mul", pair, f"{name}.weighted{i}") for i, pair in pairs]
        self._chained("Add", parts, name)

    def _mean_views(self, op: Operator) -> None:
        name, source = op.output.name, op.inputs[0]
        share = self._constant(f"{name}.share", 1 / source.shape[0])
        self._node("Mul", [self._chained("Add", self._views_of(source, name), f"{name}.sum"), share], name)

    def _max_views(self, op: Operator) -> None:
        name, (source, *masks) = op.output.name, op.inputs
        parts = self._views_of(source, name)
        if masks:
            below = self._views_of(self._below(masks[0], name), f"{name}.below")
            pairs = enumerate(zip(parts, below, strict=True))
            parts = [self._node("Add", pair, f"{name}.there{i}") for i, pair in pairs]
        self._chained("Max", parts, name)

    def _below(self, mask: TensorSpec, name: str) -> TensorSpec:
        """How far below the others each view is put: 0 where it is there."""
        lack = self._node("Sub", [mask.name, self._constant(f"{name}.one", 1.0)], f"{name}.lack")
        below = self._node("Mul", [lack, self._constant(f"{name}.far", FAR)], f"{name}.low")
        return replace(mask, name=below)

    def _softmax_views(self, op: Operator) -> None:
        name, (source, *masks) = op.output.name, op.inputs
        logits = source.name
        if masks:
            logits = self._node("Add", [logits, self._below(masks[0], name).name], f"{name}.there")
        row = self._constant(f"{name}.row", np.array([1, source.shape[0]], dtype=np.int64))
        flat = self._node("Reshape", [logits, row], f"{name}.flat")
        weights = self._node("Softmax", [flat], f"{name}.weights", axis=-1)
        shape = self._constant(f"{name}.shape", np.array(op.output.shape, dtype=np.int64))
        self._node("Reshape", [weights, shape], name)

    def _share_views(self, op: Operator) -> None:
        name, mask = op.output.name, op.inputs[0]
        count = self._chained("Add", self._views_of(mask, name), f"{name}.count")
        self._node("Div", [mask.name, count], name)


def _onnx_type(dtype: str) -> int:
    return helper.np_dtype_to_tensor_dtype(np.dtype(dtype))


def _value(tensor: TensorSpec) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(tensor.name, _onnx_type(tensor.dtype), list(tensor.shape))
