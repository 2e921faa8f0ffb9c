"""Operators that the default lowering gets wrong, as others that it gets right."""

from collections.abc import Callable

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from splitkit.graphs.reading.graph import Graph, Node

_WORST = {"ReduceMax": (-np.inf, "Greater"), "ReduceMin": (np.inf, "Less")}
"""The element that any other beats, and how it is told from it."""


def repaired(node: Node, graph: Graph) -> list[Node]:
    """Nodes for the default lowering that do what a node does; itself if it needs no repair."""
    repair = _REPAIRS.get(node.op)
    return repair(node, graph.types[node.inputs[0]].dtype) if repair else [node]


def _extreme(node: Node, dtype: str) -> list[Node]:
    """The lowering begins with the largest finite number, so that a row of minus infinities had a finite maximum."""
    if not dtype.startswith("float"):
        return [node]
    value, beats = _WORST[node.op]
    x, axes, name = node.inputs[0], node.inputs[1:], node.output
    worst = {"value": numpy_helper.from_array(np.array(value, dtype))}
    number = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    keepdims = {"keepdims": node.attrs.get("keepdims", 1)}
    return [
        Node("Constant", name, (), (f"{name}/worst",), worst),
        Node(node.op, name, node.inputs, (f"{name}/found",), node.attrs),
        Node(beats, name, (x, f"{name}/worst"), (f"{name}/beats",)),
        Node("Cast", name, (f"{name}/beats",), (f"{name}/number",), {"to": number}),
        Node("ReduceMax", name, (f"{name}/number", *axes), (f"{name}/any",), keepdims),
        Node("Cast", name, (f"{name}/any",), (f"{name}/flag",), {"to": TensorProto.BOOL}),
        Node("Where", name, (f"{name}/flag", f"{name}/found", f"{name}/worst"), node.outputs),
    ]


def _remainder(node: Node, dtype: str) -> list[Node]:
    """The lowering gives the remainder that has the divisor's sign; of magnitudes both definitions agree."""
    if not node.attrs.get("fmod", 0):
        return [node]
    if np.dtype(dtype).kind == "u":
        return [Node("Mod", node.name, node.inputs, node.outputs)]
    left, right, name = *node.inputs, node.output
    return [
        Node("Abs", name, (left,), (f"{name}/left",)),
        Node("Abs", name, (right,), (f"{name}/right",)),
        Node("Mod", name, (f"{name}/left", f"{name}/right"), (f"{name}/rest",)),
        Node("Sign", name, (left,), (f"{name}/sign",)),
        Node("Mul", name, (f"{name}/rest", f"{name}/sign"), node.outputs),
    ]


_REPAIRS: dict[str, Callable[[Node, str], list[Node]]] = {
    "Mod": _remainder,
    "ReduceMax": _extreme,
    "ReduceMin": _extreme,
}
