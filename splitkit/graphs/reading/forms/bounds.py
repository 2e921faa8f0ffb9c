"""Clips whose bounds were attributes, before opset 11."""

import numpy as np

from splitkit.graphs.reading.forms.known import Known
from splitkit.graphs.reading.graph import Node


def as_inputs(node: Node, opset: int, known: Known) -> list[Node] | None:
    """The attributes `min` and `max` as inputs."""
    if opset >= 11:
        return None
    dtype = known.type(node.inputs[0]).dtype
    inputs = [
        known.add(f"{node.output}.{name}", np.array(node.attrs[name], dtype)) if name in node.attrs else ""
        for name in ("min", "max")
    ]
    return [Node("Clip", node.name, (node.inputs[0], *inputs), node.outputs)]
