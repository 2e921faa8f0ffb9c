"""What the default lowering must not be asked for: where TVM's importer is wrong, or would end in its own words."""

from collections.abc import Callable
from functools import cache

import numpy as np

from splitkit.graphs.reading.graph import Graph, Node

CONSTANT = {
    "Compress": (1,), "CumSum": (1,), "Expand": (1,), "MaxUnpool": (1, 2), "OneHot": (1, 2), "Pad": (1, 2, 3),
    "Range": (0, 1, 2), "Reshape": (1,), "Resize": (1, 2, 3), "Slice": (1, 2, 3, 4), "Split": (1,), "Squeeze": (1,),
    "Tile": (1,), "TopK": (1,), "Trilu": (1,), "Unsqueeze": (1,), "ConstantOfShape": (0,),
}  # fmt: skip
"""Inputs, by position, that say which elements go where: kernels are generated for one answer."""

DYNAMIC = frozenset({"Compress", "NonMaxSuppression", "NonZero", "Unique"})
"""Operators whose result has a size that depends on values."""


def unsupported(node: Node, graph: Graph) -> str:
    """Why a node cannot be left to the default lowering; empty if it can."""
    if node.op not in _imported():
        return "no kernel computes this operator"
    if node.op in DYNAMIC:
        return "the size of what it makes depends on values"
    for index in CONSTANT.get(node.op, ()):
        if len(node.inputs) > index and node.inputs[index] and node.inputs[index] not in graph.constants:
            return f"its input {node.inputs[index]!r} must be constant"
    rule = _RULES.get(node.op)
    return rule(node, graph) if rule else ""


@cache
def _imported() -> frozenset[str]:
    from tvm.relax.frontend.onnx import onnx_frontend

    return frozenset(onnx_frontend._get_convert_map())


def _indices(node: Node, graph: Graph) -> str:
    return "where its maxima lie (its second output) is not computed" if len(node.outputs) > 1 else ""


def _uneven(node: Node, graph: Graph) -> str:
    return "" if node.attrs["size"] % 2 else "a window of an even number of channels (size) is not supported"


def _elsewhere(node: Node, graph: Graph) -> str:
    return "no kernel writes where another input says"


def _maxima_of_regions(node: Node, graph: Graph) -> str:
    if node.attrs.get("mode", b"avg") == b"max":
        return "the largest of interpolated values (mode=max) is not computed as ONNX defines it"
    return ""


def _blocks(node: Node, graph: Graph) -> str:
    return "scales of blocks (block_size) are not supported" if node.attrs.get("block_size", 0) else ""


def _shift(node: Node, graph: Graph) -> str:
    amounts, bits = graph.constants.get(node.inputs[1]), 8 * np.dtype(graph.types[node.inputs[0]].dtype).itemsize
    if amounts is None or amounts.min() < 0 or amounts.max() >= bits:
        return f"it must shift by constants from 0 to {bits - 1}, or what it makes is not defined"
    return ""


def _remainder(node: Node, graph: Graph) -> str:
    if graph.types[node.inputs[0]].dtype.startswith("float") and not node.attrs.get("fmod", 0):
        return "the remainder of floats with the sign of the divisor (fmod=0) is not computed"
    return ""


def _power(node: Node, graph: Graph) -> str:
    return "" if graph.types[node.inputs[0]].dtype.startswith("float") else "powers of whole numbers are not computed"


_RULES: dict[str, Callable[[Node, Graph], str]] = {
    "BitShift": _shift,
    "DequantizeLinear": _blocks,
    "LRN": _uneven,
    "MaxPool": _indices,
    "MaxUnpool": _elsewhere,
    "Mod": _remainder,
    "Pow": _power,
    "QuantizeLinear": _blocks,
    "ScatterElements": _elsewhere,
    "ScatterND": _elsewhere,
    "RoiAlign": _maxima_of_regions,
}
