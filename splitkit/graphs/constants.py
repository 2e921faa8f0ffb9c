"""Constants that operators hold."""

import onnx


def constant_value(node: onnx.NodeProto) -> onnx.TensorProto | None:
    """The tensor that a `Constant` holds; None where it is another operator, or holds something else."""
    held = [attribute.t for attribute in node.attribute if attribute.name == "value"]
    return held[0] if node.op_type == "Constant" and held else None
