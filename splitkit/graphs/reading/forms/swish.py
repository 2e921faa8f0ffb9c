"""Swish with a factor inside its sigmoid."""

import numpy as np

from splitkit.graphs.reading.forms.known import Known
from splitkit.graphs.reading.graph import Node


def with_factor(node: Node, opset: int, known: Known) -> list[Node] | None:
    """x sigmoid(alpha x) in parts; where alpha is 1 it is the activation that kernels know."""
    if "alpha" not in node.attrs:
        return None
    x, alpha = node.inputs[0], node.attrs["alpha"]
    if alpha == 1.0:
        return [Node("Swish", node.name, (x,), node.outputs)]
    factor = known.add(f"{node.output}.alpha", np.array(alpha, known.type(x).dtype))
    scaled, gate = known.fresh(f"{node.output}.scaled"), known.fresh(f"{node.output}.gate")
    return [
        Node("Mul", scaled, (x, factor), (scaled,)),
        Node("Sigmoid", gate, (scaled,), (gate,)),
        Node("Mul", node.name, (x, gate), node.outputs),
    ]
