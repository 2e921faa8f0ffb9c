"""Small models of several views, with random weights."""

import onnx
from onnx import helper

from tests.partition.several import made


def viewed(views: int = 3, pixels: int = 16, width: int = 8) -> onnx.ModelProto:
    """An input a view, `view0`...; of each, with the same weights, conv -> relu `feature0` -> conv -> relu `seen0`; all
    of them, in order -> conv -> pool -> linear -> `logits` (1, 10)."""
    nodes = []
    for i in range(views):
        nodes += [
            helper.make_node("Conv", [f"view{i}", "w0"], [f"first{i}"], strides=[2, 2], pads=[1] * 4),
            helper.make_node("Relu", [f"first{i}"], [f"feature{i}"]),
            helper.make_node("Conv", [f"feature{i}", "w1"], [f"second{i}"], strides=[2, 2], pads=[1] * 4),
            helper.make_node("Relu", [f"second{i}"], [f"seen{i}"]),
        ]
    nodes += [
        helper.make_node("Concat", [f"seen{i}" for i in range(views)], ["fused"], axis=1),
        helper.make_node("Conv", ["fused", "w2"], ["deep"], pads=[1] * 4),
        helper.make_node("Relu", ["deep"], ["deeper"]),
        helper.make_node("GlobalAveragePool", ["deeper"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "wf"], ["logits"], transB=1),
    ]
    weights = {
        "w0": (width, 3, 3, 3),
        "w1": (width, width, 3, 3),
        "w2": (width, views * width, 3, 3),
        "wf": (10, width),
    }
    inputs = [(f"view{i}", (1, 3, pixels, pixels)) for i in range(views)]
    return made("viewed", nodes, inputs, [("logits", (1, 10))], weights)


def around() -> onnx.ModelProto:
    """The same, but that `feature0`... go around the join as well: they meet in `wide`."""
    model = viewed()
    nodes = [
        helper.make_node("Concat", [f"feature{i}" for i in range(3)], ["wide"], axis=1),
        helper.make_node("GlobalAveragePool", ["wide"], ["level"]),
        helper.make_node("Add", ["fused", "level"], ["lifted"]),
    ]
    for node in model.graph.node:
        if node.output[0] == "deep":
            node.input[0] = "lifted"
    kept = [*model.graph.node]
    del model.graph.node[:]
    at = next(i for i, node in enumerate(kept) if node.output[0] == "deep")
    model.graph.node.extend([*kept[:at], *nodes, *kept[at:]])
    onnx.checker.check_model(model, full_check=True)
    return model


def posed() -> onnx.ModelProto:
    """The same, with a pose (1, 8) that is added where the views have joined."""
    model = viewed()
    model.graph.input.append(helper.make_tensor_value_info("pose", onnx.TensorProto.FLOAT, (1, 8)))
    for node in model.graph.node:
        if node.output[0] == "logits":
            node.input[0] = "told"
    model.graph.node.insert(len(model.graph.node) - 1, helper.make_node("Add", ["flat", "pose"], ["told"]))
    onnx.checker.check_model(model, full_check=True)
    return model


def batched(views: int = 3, mix: str | None = None) -> onnx.ModelProto:
    """All views as one input `views` (views, 3, 16, 16): conv -> relu `feature` -> scaled by constants of the shape
    (8, 1, 1) -> conv -> relu -> reshape `seen` (views, 128); all of them in a row -> linear -> `logits` (1, 10).

    With `mix` views meet at `feature` already: by a `softmax` over them, or by a `mean` that is taken off.
    """
    nodes = [
        helper.make_node("Conv", ["views", "w0"], ["first"], strides=[2, 2], pads=[1] * 4),
        helper.make_node("Relu", ["first"], ["feature"]),
        helper.make_node("Reshape", ["scales", "scale_shape"], ["scale"]),
        helper.make_node("Mul", ["feature", "scale"], ["scaled"]),
        helper.make_node("Conv", ["scaled", "w1"], ["second"], strides=[2, 2], pads=[1] * 4),
        helper.make_node("Relu", ["second"], ["active"]),
        helper.make_node("Reshape", ["active", "flat_shape"], ["seen"]),
        helper.make_node("Reshape", ["seen", "row"], ["fused"]),
        helper.make_node("Gemm", ["fused", "wf"], ["logits"], transB=1),
    ]
    if mix == "softmax":
        nodes[1] = helper.make_node("Softmax", ["first"], ["feature"], axis=0)
    if mix == "mean":
        nodes[1:2] = [
            helper.make_node("ReduceMean", ["first"], ["level"], axes=[0], keepdims=1),
            helper.make_node("Sub", ["first", "level"], ["feature"]),
        ]
    return made(
        "batched", nodes, [("views", (views, 3, 16, 16))], [("logits", (1, 10))],
        {"w0": (8, 3, 3, 3), "w1": (8, 8, 3, 3), "wf": (10, views * 128), "scales": (1, 8)},
        constants={"flat_shape": [views, -1], "row": [1, -1], "scale_shape": [8, 1, 1]},
    )  # fmt: skip
