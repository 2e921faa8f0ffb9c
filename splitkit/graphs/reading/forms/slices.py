"""Slices whose bounds were attributes, before opset 10."""

from splitkit.graphs.reading.forms.known import Known, ints
from splitkit.graphs.reading.graph import Node


def as_inputs(node: Node, opset: int, known: Known) -> list[Node] | None:
    """The attributes `starts`, `ends` and `axes` as inputs."""
    if opset >= 10:
        return None
    axes = node.attrs.get("axes", range(len(node.attrs["starts"])))
    values = {"starts": node.attrs["starts"], "ends": node.attrs["ends"], "axes": axes}
    inputs = (ints(known, f"{node.output}.{name}", value) for name, value in values.items())
    return [Node("Slice", node.name, (node.inputs[0], *inputs), node.outputs)]
