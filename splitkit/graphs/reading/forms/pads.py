"""Pads in one form: inputs, one pair for every axis, none negative."""

from dataclasses import replace

import numpy as np

from splitkit.graphs.reading.forms.known import Known, constant_input, ints, refuse
from splitkit.graphs.reading.graph import Node


def as_inputs(node: Node, opset: int, known: Known) -> list[Node] | None:
    """The attributes `pads` and `value` as inputs, as they are since opset 11."""
    if opset >= 11:
        return None
    value = known.add(f"{node.output}.value", np.array(node.attrs.get("value", 0), known.type(node.inputs[0]).dtype))
    attrs = {"mode": node.attrs.get("mode", b"constant")}
    inputs = (node.inputs[0], ints(known, f"{node.output}.pads", node.attrs["pads"]), value)
    return [replace(node, inputs=inputs, attrs=attrs)]


def of_every_axis(node: Node, opset: int, known: Known) -> list[Node] | None:
    """Without the input `axes`: the other axes are padded by nothing."""
    axes = constant_input(node, 3, known)
    if axes is None:
        return None
    pads, rank = constant_input(node, 1, known), len(known.type(node.inputs[0]).shape)
    if pads is None or pads.size != 2 * axes.size:
        raise refuse(node, "it states another number of pads than two for each axis")
    whole = np.zeros((2, rank), np.int64)
    whole[:, [int(a) % rank for a in axes.reshape(-1)]] = pads.reshape(2, -1)
    inputs = (node.inputs[0], ints(known, f"{node.output}.pads", whole.reshape(-1)), *node.inputs[2:3])
    return [replace(node, inputs=inputs)]


def cropping(node: Node, opset: int, known: Known) -> list[Node] | None:
    """A slice for what is negative, before the rest is padded."""
    pads = constant_input(node, 1, known)
    shape = known.type(node.inputs[0]).shape
    if pads is None or not (pads < 0).any():
        return None
    if node.attrs.get("mode", b"constant") != b"constant":
        raise refuse(node, "it crops what it mirrors or repeats")
    before, after = (np.minimum(half, 0) for half in pads.reshape(2, -1))
    cropped = known.fresh(f"{node.output}.cropped")
    bounds = {"starts": -before, "ends": np.array(shape) + after, "axes": np.arange(len(shape))}
    inputs = (ints(known, f"{cropped}.{name}", value) for name, value in bounds.items())
    rest = ints(known, f"{node.output}.pads", np.maximum(pads, 0))
    return [
        Node("Slice", cropped, (node.inputs[0], *inputs), (cropped,)),
        replace(node, inputs=(cropped, rest, *node.inputs[2:])),
    ]
