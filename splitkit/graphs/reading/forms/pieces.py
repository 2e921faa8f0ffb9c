"""Counts that were attributes: the sizes of a split before opset 13, of a top-k before 10."""

from dataclasses import replace
from math import ceil

from splitkit.graphs.reading.forms.known import Known, constant_input, ints, refuse
from splitkit.graphs.reading.graph import Node


def as_input(node: Node, opset: int, known: Known) -> list[Node] | None:
    """A split of stated sizes, whether they were an attribute, a number of parts, or left out."""
    if opset >= 13 and len(node.inputs) > 1 and "num_outputs" not in node.attrs:
        constant_input(node, 1, known)
        return None
    extent = known.type(node.inputs[0]).shape[node.attrs.get("axis", 0)]
    parts = len(node.outputs)
    each = ceil(extent / parts)
    sizes = node.attrs.get("split") or [each] * (parts - 1) + [extent - each * (parts - 1)]
    if sum(sizes) != extent or min(sizes) < 0:
        raise refuse(node, f"{extent} elements do not split into {list(sizes)}")
    attrs = {name: value for name, value in node.attrs.items() if name not in ("split", "num_outputs")}
    return [replace(node, inputs=(node.inputs[0], ints(known, f"{node.outputs[0]}.sizes", sizes)), attrs=attrs)]


def count_as_input(node: Node, opset: int, known: Known) -> list[Node] | None:
    """The attribute `k` as an input."""
    if opset >= 10:
        return None
    attrs = dict(node.attrs)
    count = ints(known, f"{node.outputs[0]}.k", [attrs.pop("k")])
    return [replace(node, inputs=(node.inputs[0], count), attrs=attrs)]
