"""Batch normalisation by the statistics of the batch itself."""

import numpy as np

from splitkit.graphs.reading.forms.known import Known, ints, refuse
from splitkit.graphs.reading.graph import Node


def spatial(node: Node, opset: int, known: Known) -> list[Node] | None:
    """Refuse what older opsets say of training and of statistics per pixel.

    Raises:
        ModelError: the node normalises every pixel by itself, or trains in a form that cannot be read.
    """
    if opset >= 14:
        return None
    if not node.attrs.get("spatial", 1):
        raise refuse(node, "it has statistics for every pixel (spatial=0)")
    if len(node.outputs) > 1 or (opset < 7 and not node.attrs.get("is_test", 0)):
        raise refuse(node, "it computes the statistics of training", "export the model for inference")
    attrs = {name: value for name, value in node.attrs.items() if name in ("epsilon", "momentum")}
    return [Node(node.op, node.name, node.inputs, node.outputs, attrs)]


def training(node: Node, opset: int, known: Known) -> list[Node] | None:
    """Mean and variance over batch and pixels, the running statistics they lead to, and the normalised tensor."""
    if not node.attrs.get("training_mode", 0):
        return None
    x, scale, bias, mean, variance = node.inputs
    shape, dtype = known.type(x).shape, known.type(x).dtype
    per_channel = ints(known, f"{node.output}.channels", (1, -1) + (1,) * (len(shape) - 2))
    others = ints(known, f"{node.output}.others", [0, *range(2, len(shape))])
    names = ("mean", "centred", "square", "variance", "flat_mean", "flat_variance", "raised", "root", "normal")
    tensor = {name: known.fresh(f"{node.output}.{name}") for name in names}
    nodes: list[Node] = []

    def add(op: str, inputs: tuple[str, ...], output: str, **attrs: object) -> str:
        nodes.append(Node(op, f"{node.name}/{output}", inputs, (output,), attrs))
        return output

    def number(value: float) -> str:
        return known.add(f"{node.output}.number", np.array(value, dtype))

    def column(name: str, value: str) -> str:
        return add("Reshape", (value, per_channel), known.fresh(f"{node.output}.{name}"))

    add("ReduceMean", (x, others), tensor["mean"])
    add("Sub", (x, tensor["mean"]), tensor["centred"])
    add("Mul", (tensor["centred"], tensor["centred"]), tensor["square"])
    add("ReduceMean", (tensor["square"], others), tensor["variance"])
    add("Add", (tensor["variance"], number(node.attrs.get("epsilon", 1e-5))), tensor["raised"])
    add("Sqrt", (tensor["raised"],), tensor["root"])
    add("Div", (tensor["centred"], tensor["root"]), tensor["normal"])
    scaled = add("Mul", (tensor["normal"], column("scale", scale)), known.fresh(f"{node.output}.scaled"))
    add("Add", (scaled, column("bias", bias)), node.output)
    momentum = node.attrs.get("momentum", 0.9)
    for output, running, new in zip(node.outputs[1:], (mean, variance), ("mean", "variance"), strict=False):
        if not output:
            continue
        flat = add("Squeeze", (tensor[new], others), tensor[f"flat_{new}"])
        old = add("Mul", (running, number(momentum)), known.fresh(f"{output}.old"))
        fresh = add("Mul", (flat, number(1 - momentum)), known.fresh(f"{output}.new"))
        add("Add", (old, fresh), output)
    return nodes
