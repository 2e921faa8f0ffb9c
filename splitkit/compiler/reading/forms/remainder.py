"""The remainder that has the sign of the dividend, as C's `fmod` and `%` have it."""

import numpy as np

from splitkit.compiler.graph import Node
from splitkit.compiler.reading.forms.known import Known


def truncated(node: Node, opset: int, known: Known) -> list[Node] | None:
    """Sign of the dividend times the remainder of the magnitudes, for which both definitions agree."""
    dtype = known.type(node.inputs[0]).dtype
    if not node.attrs.get("fmod", 0):
        return None
    if np.dtype(dtype).kind == "u":
        return [Node("Mod", node.name, node.inputs, node.outputs)]
    left, right, rest, sign = (known.fresh(f"{node.output}.{part}") for part in ("left", "right", "rest", "sign"))
    return [
        Node("Abs", left, node.inputs[:1], (left,)),
        Node("Abs", right, node.inputs[1:], (right,)),
        Node("Mod", rest, (left, right), (rest,)),
        Node("Sign", sign, node.inputs[:1], (sign,)),
        Node("Mul", node.name, (rest, sign), node.outputs),
    ]
