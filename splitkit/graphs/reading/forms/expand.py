"""Broadcasting to a shape that states fewer axes, or smaller extents, than the tensor has."""

from dataclasses import replace

import numpy as np

from splitkit.graphs.reading.forms.known import Known, constant_input, ints, refuse
from splitkit.graphs.reading.graph import Node


def to_whole_shape(node: Node, opset: int, known: Known) -> list[Node] | None:
    """The shape that results as the shape that is asked for; nothing where the tensor has it already."""
    asked, given = constant_input(node, 1, known), known.type(node.inputs[0]).shape
    assert asked is not None
    try:
        whole = np.broadcast_shapes(given, tuple(int(extent) for extent in asked))
    except ValueError:
        raise refuse(node, f"{list(given)} does not broadcast to {asked.tolist()}") from None
    if whole == given:
        return [Node("Identity", node.name, node.inputs[:1], node.outputs)]
    if whole == tuple(asked):
        return None
    return [replace(node, inputs=(node.inputs[0], ints(known, f"{node.output}.shape", whole)))]
