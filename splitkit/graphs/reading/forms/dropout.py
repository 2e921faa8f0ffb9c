"""Dropout, which does nothing when nobody trains; its mask then keeps every element."""

import numpy as np

from splitkit.graphs.reading.forms.known import Known, constant_input, refuse
from splitkit.graphs.reading.graph import Node


def at_rest(node: Node, opset: int, known: Known) -> list[Node] | None:
    """As an identity, and a mask of ones if it is asked for.

    Raises:
        ModelError: the graph drops elements at random.
    """
    trains = constant_input(node, 2, known) if opset >= 12 else None
    random = opset < 7 and not node.attrs.get("is_test", 0)
    if trains is not None and trains.any():
        ratio = constant_input(node, 1, known)
        random = ratio is None or bool(ratio.any())
    if random:
        raise refuse(node, "it drops elements at random", "export the model for inference")
    kept = [Node("Identity", node.name, node.inputs[:1], node.outputs[:1])]
    if len(node.outputs) > 1:
        given = known.type(node.inputs[0])
        mask = known.add(f"{node.outputs[1]}.ones", np.ones(given.shape, bool if opset >= 10 else given.dtype))
        kept.append(Node("Identity", f"{node.name}.mask", (mask,), node.outputs[1:2]))
    return kept
