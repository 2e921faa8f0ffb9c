"""Arithmetic that was told by attributes how to broadcast, before opset 7."""

from dataclasses import replace

from splitkit.graphs.reading.forms.known import Known, ints
from splitkit.graphs.reading.graph import Node


def by_attribute(node: Node, opset: int, known: Known) -> list[Node] | None:
    """Without the attributes `axis` and `broadcast`: axes of extent 1 are appended to the second operand instead."""
    if opset >= 7:
        return None
    left, right = node.inputs
    ranks = [len(known.type(name).shape) for name in node.inputs]
    axis = node.attrs.get("axis", ranks[0] - ranks[1]) % max(ranks[0], 1)
    trailing = ranks[0] - ranks[1] - axis
    if not node.attrs.get("broadcast", 0) or not ranks[1] or trailing <= 0:
        return [replace(node, attrs={})]
    widened = known.fresh(f"{node.output}.operand")
    axes = ints(known, f"{node.output}.axes", range(ranks[1], ranks[1] + trailing))
    return [
        Node("Unsqueeze", widened, (right, axes), (widened,)),
        Node(node.op, node.name, (left, widened), node.outputs),
    ]
