"""Reductions that are told no axes: all of them are meant, or none."""

from dataclasses import replace

from splitkit.graphs.reading.forms.known import Known, constant_input
from splitkit.graphs.reading.graph import Node

_OF_ONE_ELEMENT = {"ReduceL1": "Abs", "ReduceL2": "Abs", "ReduceLogSum": "Log"}
"""What a reduction makes of an element that is reduced with no other, where that is not the element."""


def without_axes(node: Node, opset: int, known: Known) -> list[Node] | None:
    """Without `noop_with_empty_axes` and without an empty list of axes."""
    axes = constant_input(node, 1, known)
    noop = node.attrs.get("noop_with_empty_axes", 0)
    attrs = {name: value for name, value in node.attrs.items() if name != "noop_with_empty_axes"}
    empty = axes is None or not axes.size
    if empty and noop:
        x = node.inputs[0]
        if node.op == "ReduceSumSquare":
            return [Node("Mul", node.name, (x, x), node.outputs)]
        return [Node(_OF_ONE_ELEMENT.get(node.op, "Identity"), node.name, (x,), node.outputs)]
    if not (noop or (empty and len(node.inputs) > 1)):
        return None
    return [replace(node, inputs=(node.inputs[0],) if empty else node.inputs, attrs=attrs)]
