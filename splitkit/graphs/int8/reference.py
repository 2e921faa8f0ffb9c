"""What quantised models compute, in numpy: the meaning that every compiled kernel is held against, byte for byte."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from splitkit.errors import ModelError
from splitkit.graphs.int8.patterns import MEAN_BITS, VIEWS
from splitkit.graphs.int8.requantise import Products, Requantisation
from splitkit.graphs.reading.graph import Array, Graph, Node

Whole = NDArray[np.int64]


def evaluate(graph: Graph, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """The graph's outputs, by name.

    Args:
        graph: as `patterns.in_integers` leaves it.
        inputs: arrays of the graph's own types, by name.

    Raises:
        ModelError: an operator is neither on bytes nor a change between bytes and floats.
    """
    values: dict[str, Array] = dict(graph.constants) | dict(inputs)
    for node in graph.nodes:
        rule = _RULES.get(node.op)
        if rule is None:
            raise ModelError(f"node {node.name!r} ({node.op}): the reference computes operators on bytes alone")
        found = rule(node, *[values[name] if name else None for name in node.inputs])
        type_ = graph.types[node.output]
        values[node.output] = np.asarray(found).reshape(type_.shape).astype(type_.dtype)
    return {name: values[name] for name in graph.outputs}


def _whole(value: Array) -> Whole:
    return value.astype(np.int64)


def convolution(x: Whole, weight: Whole, node: Node) -> Whole:
    """Sums of products; `x` is without its zero point, so that a border of zeros is one."""
    attrs, groups = node.attrs, node.attrs.get("group", 1)
    top, left, bottom, right = attrs.get("pads", (0, 0, 0, 0))
    stride, dilation = attrs.get("strides", (1, 1)), attrs.get("dilations", (1, 1))
    padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    reach = [(k - 1) * d + 1 for k, d in zip(weight.shape[2:], dilation, strict=True)]
    windows = sliding_window_view(padded, reach, axis=(2, 3))
    windows = windows[:, :, :: stride[0], :: stride[1], :: dilation[0], :: dilation[1]]
    parts = [
        np.einsum("nchwrs,ocrs->nohw", part, each, optimize=True)
        for part, each in zip(np.split(windows, groups, 1), np.split(weight, groups), strict=True)
    ]
    return np.concatenate(parts, 1)


def _conv(node: Node, x: Array, weight: Array, bias: Array) -> Whole:
    sums = convolution(_whole(x) - node.attrs["zero"], _whole(weight), node) + _whole(bias).reshape(1, -1, 1, 1)
    return _rule(node).apply(sums)


def _linear(node: Node, x: Array, weight: Array, bias: Array) -> Whole:
    sums = (_whole(x) - node.attrs["zero"]) @ _whole(weight).T + _whole(bias)
    return _rule(node).apply(sums, axis=sums.ndim - 1)


def _mean(node: Node, x: Array) -> Whole:
    sums = (_whole(x) - node.attrs["zero"]).sum((2, 3), keepdims=True)
    return _rule(node).apply(sums << MEAN_BITS)


def _add(node: Node, a: Array, b: Array) -> Whole:
    rule, (za, zb) = node.attrs["rule"], node.attrs["zeros"]
    k, m = rule.multipliers
    return _bounded(rule, (_whole(a) - za) * k + (_whole(b) - zb) * m)


def _mul(node: Node, a: Array, b: Array) -> Whole:
    rule, (za, zb) = node.attrs["rule"], node.attrs["zeros"]
    return _bounded(rule, (_whole(a) - za) * (_whole(b) - zb) * rule.multipliers[0])


def _bounded(rule: Products, sums: Whole) -> Whole:
    return np.asarray(np.clip((sums + rule.offset) >> rule.shift, rule.low, rule.high))


def _rule(node: Node) -> Requantisation:
    rule: Requantisation = node.attrs["rule"]
    return rule


def _table(node: Node, x: Array, table: Array) -> Array:
    return table[x.view(np.uint8)]


def _quantise(node: Node, x: Array, scale: Array, zero: Array | None = None) -> Array:
    info = np.iinfo(np.uint8 if zero is None else zero.dtype)
    steps = np.rint(x.astype(np.float32) / scale.astype(np.float32)) + (0 if zero is None else zero.astype(np.float32))
    return np.clip(steps, info.min, info.max)


def _dequantise(node: Node, x: Array, scale: Array, zero: Array | None = None) -> Array:
    shifted = x.astype(np.float32) - (np.float32(0) if zero is None else zero.astype(np.float32))
    return shifted * scale.astype(np.float32)


def _view(node: Node, x: Array, *rest: Array) -> Array:
    return x


_RULES: dict[str, Callable[..., Any]] = {
    "IntegerConv": _conv,
    "IntegerLinear": _linear,
    "IntegerMean": _mean,
    "IntegerAdd": _add,
    "IntegerMul": _mul,
    "ByteTable": _table,
    "QuantizeLinear": _quantise,
    "DequantizeLinear": _dequantise,
    **dict.fromkeys(VIEWS, _view),
}
