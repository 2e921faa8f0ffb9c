"""Operators that look at the kind of a number."""

from dataclasses import replace

import numpy as np
from onnx import helper

from splitkit.graphs.reading.forms.known import Known
from splitkit.graphs.reading.graph import Node


def cast_like(node: Node, opset: int, known: Known) -> list[Node] | None:
    """A cast to the type of another tensor."""
    to = helper.np_dtype_to_tensor_dtype(np.dtype(known.type(node.inputs[1]).dtype))
    return [Node("Cast", node.name, node.inputs[:1], node.outputs, {"to": to})]


def signed_infinity(node: Node, opset: int, known: Known) -> list[Node] | None:
    """Infinities of one sign only: infinite, and on that side of zero."""
    positive, negative = (node.attrs.get(f"detect_{sign}", 1) for sign in ("positive", "negative"))
    if positive and negative:
        return [replace(node, attrs={})] if node.attrs else None
    x = node.inputs[0]
    if not (positive or negative):
        never = known.add(f"{node.output}.never", np.zeros(known.type(x).shape, bool))
        return [Node("Identity", node.name, (never,), node.outputs)]
    infinite, side = known.fresh(f"{node.output}.infinite"), known.fresh(f"{node.output}.side")
    zero = known.add(f"{node.output}.zero", np.zeros((), known.type(x).dtype))
    return [
        Node("IsInf", infinite, (x,), (infinite,)),
        Node("Greater" if positive else "Less", side, (x, zero), (side,)),
        Node("And", node.name, (infinite, side), node.outputs),
    ]


def one_type(node: Node, opset: int, known: Known) -> list[Node] | None:
    """A power whose exponent has the type of its base, which since opset 12 it need not have."""
    base, exponent = (known.type(name).dtype for name in node.inputs)
    if base == exponent:
        return None
    cast = known.fresh(f"{node.output}.exponent")
    to = helper.np_dtype_to_tensor_dtype(np.dtype(base))
    return [
        Node("Cast", cast, node.inputs[1:], (cast,), {"to": to}),
        replace(node, inputs=(node.inputs[0], cast)),
    ]


def equal_flags(node: Node, opset: int, known: Known) -> list[Node] | None:
    """Flags are equal where they do not differ; the code generator has no comparison for them."""
    if known.type(node.inputs[0]).dtype != "bool":
        return None
    differ = known.fresh(f"{node.output}.differ")
    return [Node("Xor", differ, node.inputs, (differ,)), Node("Not", node.name, (differ,), node.outputs)]
