"""Channels to places and back, as a transposition between two reshapes."""

from collections.abc import Sequence

from splitkit.graphs.reading.forms.known import Known, ints
from splitkit.graphs.reading.graph import Node


def depth_to_space(node: Node, opset: int, known: Known) -> list[Node]:
    """Blocks of channels become blocks of pixels; the block is the channels' outer axes (DCR) or their inner (CRD)."""
    n, c, h, w = known.type(node.inputs[0]).shape
    b = node.attrs["blocksize"]
    if node.attrs.get("mode", b"DCR") == b"CRD":
        split, order = (n, c // b**2, b, b, h, w), (0, 1, 4, 2, 5, 3)
    else:
        split, order = (n, b, b, c // b**2, h, w), (0, 3, 4, 1, 5, 2)
    return _moved(node, known, split, order, (n, c // b**2, h * b, w * b))


def space_to_depth(node: Node, opset: int, known: Known) -> list[Node]:
    """Blocks of pixels become blocks of channels, the inverse of `depth_to_space`."""
    n, c, h, w = known.type(node.inputs[0]).shape
    b = node.attrs["blocksize"]
    order = (0, 1, 3, 5, 2, 4) if node.attrs.get("mode", b"DCR") == b"CRD" else (0, 3, 5, 1, 2, 4)
    return _moved(node, known, (n, c, h // b, b, w // b, b), order, (n, c * b**2, h // b, w // b))


def _moved(node: Node, known: Known, split: Sequence[int], order: Sequence[int], whole: Sequence[int]) -> list[Node]:
    parts, moved = known.fresh(f"{node.output}.parts"), known.fresh(f"{node.output}.moved")
    return [
        Node("Reshape", parts, (node.inputs[0], ints(known, f"{parts}.shape", split)), (parts,)),
        Node("Transpose", node.name, (parts,), (moved,), {"perm": list(order)}),
        Node("Reshape", f"{node.name}.whole", (moved, ints(known, f"{moved}.shape", whole)), node.outputs),
    ]
