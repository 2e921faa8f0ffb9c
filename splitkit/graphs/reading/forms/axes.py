"""Axes that were an attribute before they became an input: at opset 13, for most reductions at 18."""

from dataclasses import replace

from splitkit.graphs.reading.forms.known import Known, ints
from splitkit.graphs.reading.graph import Node


def as_input(node: Node, opset: int, known: Known) -> list[Node] | None:
    """The attribute `axes` as a second input."""
    if opset >= (13 if node.op in ("Squeeze", "Unsqueeze", "ReduceSum") else 18):
        return None
    attrs = dict(node.attrs)
    axes = attrs.pop("axes", None)
    inputs = (node.inputs[0],) if axes is None else (node.inputs[0], ints(known, f"{node.output}.axes", axes))
    return [replace(node, inputs=inputs, attrs=attrs)]
