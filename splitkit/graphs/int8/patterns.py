"""Which operators of a quantised model run in integers.

A model says that a layer is quantised by what stands around it: its operands come out of DequantizeLinear, its result
goes into QuantizeLinear (the form that ONNX Runtime's quantiser, PyTorch and others write). Layer and surroundings
become one operator on bytes: `IntegerConv`, `IntegerLinear`, `IntegerAdd`, `IntegerMul`, `IntegerMean`, `ByteTable`, or
a view. What matches nothing stays as it is and is computed in float32 between the two, correctly.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitkit.graphs.int8.functions import FUNCTIONS, table
from splitkit.graphs.int8.requantise import products, requantisation
from splitkit.graphs.reading.graph import Array, Graph, Node

BYTES = ("uint8", "int8")
VIEWS = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze"})
SUM_BITS, PRODUCT_BITS = 21, 14
"""Of multipliers: two terms of 9 bits times 21, or one of 16 times 14, fit beside a shifted zero point."""

MEAN_BITS = 8
"""Sums of pixels are shifted by so many before they are multiplied: of a few pixels they are small."""


@dataclass(frozen=True)
class Steps:
    """What the bytes of a tensor stand for: (value - zero) x scale; `low` and `high` bound the bytes."""

    scale: float
    zero: int
    low: int
    high: int


def in_integers(graph: Graph) -> Graph:
    """The same model, with operators on bytes where it says that they are quantised."""
    if not any(node.op == "QuantizeLinear" for node in graph.nodes):
        return graph
    found = _Patterns(graph)
    nodes = []
    for node in graph.nodes:
        replaced = found.integer(node) if node.op == "QuantizeLinear" else None
        nodes.append(replaced or node)
    return graph.with_nodes(nodes, found.constants)


class _Patterns:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.constants: dict[str, Array] = dict(graph.constants)
        self.producers, self.consumers = graph.producers(), graph.consumers()

    def integer(self, quantise: Node) -> Node | None:
        """The operator on bytes that ends in this QuantizeLinear; None if there is none."""
        out = self._steps(quantise)
        made = self._only(quantise.inputs[0])
        if out is None or made is None:
            return None
        bounds = self._bounds(made)
        if bounds is not None:
            before = self._only(made.inputs[0])
            layer = before and self._layer(before, quantise, _within(out, *bounds))
            if layer:
                return layer
        return self._layer(made, quantise, out) or self._function(made, quantise, out)

    def _layer(self, node: Node, quantise: Node, out: Steps) -> Node | None:
        rule = _RULES.get(node.op)
        return rule(self, node, quantise, out) if rule else None

    # what is known of tensors

    def _only(self, name: str) -> Node | None:
        """What makes a tensor that one operator reads and nobody else sees."""
        if name in self.graph.outputs or len(self.consumers.get(name, ())) != 1:
            return None
        return self.producers.get(name)

    def _steps(self, node: Node) -> Steps | None:
        """Of a QuantizeLinear's output or a DequantizeLinear's input: one scale for the whole tensor."""
        given = [self.constants.get(name) for name in node.inputs[1:3] if name]
        name = node.output if node.op == "QuantizeLinear" else node.inputs[0]
        dtype = self.graph.types[name].dtype
        if dtype not in BYTES or any(value is None or value.size != 1 for value in given):
            return None
        values = [value.reshape(-1)[0] for value in given if value is not None]
        info = np.iinfo(dtype)
        return Steps(float(values[0]), int(values[1]) if len(values) > 1 else 0, info.min, info.max)

    def _bytes(self, name: str) -> tuple[str, Steps] | None:
        """The bytes behind a dequantised activation."""
        made = self.producers.get(name)
        if made is None or made.op != "DequantizeLinear":
            return None
        steps = self._steps(made)
        return (made.inputs[0], steps) if steps else None

    def _bounds(self, node: Node) -> tuple[float, float] | None:
        """What a Relu or Clip keeps its values between."""
        if node.op == "Relu":
            return 0.0, np.inf
        if node.op != "Clip":
            return None
        found = [-np.inf, np.inf]
        for i, name in enumerate(node.inputs[1:3]):
            if name:
                value = self.constants.get(name)
                if value is None:
                    return None
                found[i] = float(value.reshape(-1)[0])
        return found[0], found[1]

    def _weights(self, name: str, axis: int) -> tuple[NDArray[np.int8], NDArray[np.float64]] | None:
        """A constant in steps without a zero point, and the scale of each of its slices along `axis`."""
        made = self.graph.dequantised.get(name)
        if made is None:
            return None
        values, scale = self.constants[made.inputs[0]], self.constants[made.inputs[1]]
        zero = self.constants[made.inputs[2]] if len(made.inputs) > 2 and made.inputs[2] else np.zeros(1, np.int8)
        own = made.attrs.get("axis", 1) % values.ndim
        if str(values.dtype) not in BYTES or made.attrs.get("block_size", 0) or (scale.size > 1 and own != axis):
            return None
        shape = [-1 if i == axis and zero.size > 1 else 1 for i in range(values.ndim)]
        shifted = values.astype(np.int32) - zero.astype(np.int32).reshape(shape)
        if shifted.min() < -128 or shifted.max() > 127:
            return None
        scales = np.broadcast_to(scale.astype(np.float64).reshape(-1), (values.shape[axis],))
        return shifted.astype(np.int8), scales

    def _add(self, name: str, value: Array) -> str:
        while name in self.constants or name in self.graph.types:
            name += "_"
        self.constants[name] = np.ascontiguousarray(value)
        return name

    # operators

    def _products(
        self, node: Node, quantise: Node, out: Steps, weights: tuple[NDArray[np.int8], NDArray[np.float64]] | None,
        bias: str, attrs: Mapping[str, Any],
    ) -> Node | None:  # fmt: skip
        """A convolution or linear layer of byte operands; weights have their outputs first."""
        x = self._bytes(node.inputs[0])
        if x is None or weights is None:
            return None
        (name, steps), (values, scales) = x, weights
        shift = self._bias(bias, scales * steps.scale)
        if shift is None:
            return None
        most = 255 * np.abs(values.astype(np.int64)).sum(axis=tuple(range(1, values.ndim))) + np.abs(shift)
        rule = requantisation(scales * steps.scale / out.scale, out.zero, out.low, out.high)
        if rule is None or most.max() >= 2**31:
            return None
        inputs = (name, self._add(f"{quantise.output}.weight", values), self._add(f"{quantise.output}.bias", shift))
        op = "IntegerConv" if node.op == "Conv" else "IntegerLinear"
        return Node(op, node.name, inputs, quantise.outputs, dict(attrs) | {"rule": rule, "zero": steps.zero})

    def _bias(self, name: str, scales: NDArray[np.float64]) -> NDArray[np.int32] | None:
        """A bias in the steps of the sums."""
        if not name:
            return np.zeros(len(scales), np.int32)
        made, value = self.graph.dequantised.get(name), self.constants.get(name)
        if value is None or value.size != len(scales):
            return None
        if made is not None and self.constants[made.inputs[0]].dtype == np.int32:
            own = self.constants[made.inputs[1]].reshape(-1)
            if np.allclose(own, scales, rtol=1e-5, atol=0):
                return self.constants[made.inputs[0]].reshape(-1)
        steps = np.rint(value.reshape(-1).astype(np.float64) / scales)
        return steps.astype(np.int32) if np.abs(steps).max() < 2**30 else None

    def _conv(self, node: Node, quantise: Node, out: Steps) -> Node | None:
        if len(self.graph.types[node.output].shape) != 4:
            return None
        bias = node.inputs[2] if len(node.inputs) > 2 else ""
        return self._products(node, quantise, out, self._weights(node.inputs[1], 0), bias, node.attrs)

    def _gemm(self, node: Node, quantise: Node, out: Steps) -> Node | None:
        if node.attrs.get("transA", 0) or any(node.attrs.get(name, 1.0) != 1.0 for name in ("alpha", "beta")):
            return None
        bias = node.inputs[2] if len(node.inputs) > 2 else ""
        return self._products(node, quantise, out, self._matrix(node), bias, {})

    def _matmul(self, node: Node, quantise: Node, out: Steps, bias: str = "") -> Node | None:
        if len(self.graph.types[node.output].shape) != 2:
            return None
        return self._products(node, quantise, out, self._matrix(node), bias, {})

    def _matrix(self, node: Node) -> tuple[NDArray[np.int8], NDArray[np.float64]] | None:
        """Weights as (out, in)."""
        value = self.constants.get(node.inputs[1])
        if value is None or value.ndim != 2:
            return None
        if node.attrs.get("transB", 0):
            return self._weights(node.inputs[1], 0)
        found = self._weights(node.inputs[1], 1)
        return (np.ascontiguousarray(found[0].T), found[1]) if found else None

    def _sum(self, node: Node, quantise: Node, out: Steps) -> Node | None:
        left, right = node.inputs
        product = self._only(left)
        if product is not None and product.op == "MatMul" and right in self.constants:
            return self._matmul(product, quantise, out, right)
        types = self.graph.types
        a, b = self._bytes(left), self._bytes(right)
        if a is None or b is None or types[left].shape != types[right].shape:
            return None
        rule = products((a[1].scale / out.scale, b[1].scale / out.scale), SUM_BITS, out.zero, out.low, out.high)
        attrs = {"rule": rule, "zeros": (a[1].zero, b[1].zero)}
        return Node("IntegerAdd", node.name, (a[0], b[0]), quantise.outputs, attrs) if rule else None

    def _product(self, node: Node, quantise: Node, out: Steps) -> Node | None:
        """Of one tensor, and another that has one value a channel or one for each of the first's."""
        a, b = (self._bytes(name) for name in node.inputs)
        if a is None or b is None:
            return None
        types = self.graph.types
        shapes = [types[each[0]].shape for each in (a, b)]
        if shapes[0] != types[quantise.output].shape:
            (a, b), shapes = (b, a), shapes[::-1]
        whole, other = shapes
        if whole != types[quantise.output].shape or other not in (whole, (*whole[:2], 1, 1)):
            return None
        rule = products((a[1].scale * b[1].scale / out.scale,), PRODUCT_BITS, out.zero, out.low, out.high)
        attrs = {"rule": rule, "zeros": (a[1].zero, b[1].zero)}
        return Node("IntegerMul", node.name, (a[0], b[0]), quantise.outputs, attrs) if rule else None

    def _mean(self, node: Node, quantise: Node, out: Steps) -> Node | None:
        """Over the height and width of an image."""
        shape, x = self.graph.types[node.inputs[0]].shape, self._bytes(node.inputs[0])
        if x is None or len(shape) != 4:
            return None
        if node.op == "ReduceMean":
            axes = self.constants.get(node.inputs[1]) if len(node.inputs) > 1 else None
            if axes is None or sorted(int(a) % 4 for a in axes.reshape(-1)) != [2, 3]:
                return None
        pixels = shape[2] * shape[3]
        scale = np.array([x[1].scale / out.scale / pixels / (1 << MEAN_BITS)])
        rule = requantisation(scale, out.zero, out.low, out.high) if 255 * pixels < 1 << (31 - MEAN_BITS) else None
        attrs = {"rule": rule, "zero": x[1].zero}
        return Node("IntegerMean", node.name, (x[0],), quantise.outputs, attrs) if rule else None

    def _view(self, node: Node, quantise: Node, out: Steps) -> Node | None:
        """An operator that moves values and keeps their steps."""
        x = self._bytes(node.inputs[0])
        same = x is not None and self.graph.types[x[0]].dtype == self.graph.types[quantise.output].dtype and x[1] == out
        if x is None or not same:
            return None
        return Node(node.op, node.name, (x[0], *node.inputs[1:]), quantise.outputs, node.attrs)

    def _function(self, node: Node, quantise: Node, out: Steps) -> Node | None:
        """Point-wise operators on one quantised tensor and single numbers: a table of 256 entries."""
        nodes: list[Node] = []
        source: str | None = None
        waiting, seen = [node], set[str]()
        while waiting:
            each = waiting.pop()
            if each.op not in FUNCTIONS or each.output in seen:
                if each.output in seen:
                    continue
                return None
            seen.add(each.output)
            nodes.append(each)
            for name in each.inputs:
                value = self.constants.get(name)
                if not name or (value is not None and value.size == 1):
                    continue
                made = self.producers.get(name)
                if value is not None or made is None:
                    return None
                if made.op == "DequantizeLinear" and source in (None, name):
                    source = name
                elif made.op != "DequantizeLinear":
                    waiting.append(made)
                else:
                    return None
        x = self._bytes(source) if source else None
        if x is None or source is None:
            return None
        order = {each.output: i for i, each in enumerate(self.graph.nodes)}
        nodes.sort(key=lambda each: order[each.output])
        values = table(nodes, source, self.constants, x[1].scale, x[1].zero, x[1].low, out.scale, out.zero)
        found = np.clip(values, out.low, out.high).astype(self.graph.types[quantise.output].dtype)
        name = self._add(f"{quantise.output}.table", found)
        return Node("ByteTable", node.name, (x[0], name), quantise.outputs)


def _within(out: Steps, low: float, high: float) -> Steps:
    """The same steps, bounded by what an activation leaves."""

    def step(value: float, otherwise: int) -> int:
        if not np.isfinite(value):
            return otherwise
        return int(np.clip(np.rint(value / out.scale) + out.zero, out.low, out.high))

    return Steps(out.scale, out.zero, step(low, out.low), step(high, out.high))


_Rule = Callable[[_Patterns, Node, Node, Steps], Node | None]
_RULES: dict[str, _Rule] = {
    "Conv": _Patterns._conv,
    "Gemm": _Patterns._gemm,
    "MatMul": _Patterns._matmul,
    "Add": _Patterns._sum,
    "Mul": _Patterns._product,
    "GlobalAveragePool": _Patterns._mean,
    "ReduceMean": _Patterns._mean,
    **dict.fromkeys(VIEWS, _Patterns._view),
}
