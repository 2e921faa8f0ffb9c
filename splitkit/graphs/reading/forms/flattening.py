"""Softmax and its like before opset 13: over all axes from `axis` on at once."""

from math import prod

from splitkit.graphs.reading.forms.known import Known, ints
from splitkit.graphs.reading.graph import Node


def to_matrix(node: Node, opset: int, known: Known) -> list[Node] | None:
    """Over the last axis of a matrix, or of the tensor itself where the last axis is the only one meant."""
    if opset >= 13:
        return None
    shape = known.type(node.inputs[0]).shape
    axis = node.attrs.get("axis", 1)
    axis = axis % len(shape) if axis < 0 else axis
    if axis == len(shape) - 1:
        return [Node(node.op, node.name, node.inputs, node.outputs, {"axis": -1})]
    flat, result = known.fresh(f"{node.output}.flat"), known.fresh(f"{node.output}.rows")
    rows = ints(known, f"{flat}.shape", (prod(shape[:axis]), prod(shape[axis:])))
    whole = ints(known, f"{result}.shape", shape)
    return [
        Node("Reshape", flat, (node.inputs[0], rows), (flat,)),
        Node(node.op, node.name, (flat,), (result,), {"axis": -1}),
        Node("Reshape", f"{node.name}.whole", (result, whole), node.outputs),
    ]
