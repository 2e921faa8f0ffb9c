"""Types and shapes of a model's tensors, dynamic ones included: what the halves of a cut state of their edges."""

import onnx
from onnx import helper

from splitkit.errors import ModelError
from splitkit.graphs.order import ordered

_SHAPE_OPERAND = {"Reshape": 1, "Expand": 1, "ConstantOfShape": 0}
"""Operators whose result has as many axes as an operand has elements, and which operand that is."""


def has_axes(value: onnx.ValueInfoProto) -> bool:
    """Whether it is known how many axes a tensor has, if it is one; a model's edges must state that."""
    return not value.type.HasField("tensor_type") or value.type.tensor_type.HasField("shape")


def tensor_shape(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    """Static shape of a value.

    Raises:
        ModelError: a dimension is symbolic or unknown.
    """
    dims = value.type.tensor_type.shape.dim
    if not value.type.tensor_type.HasField("shape") or any(d.WhichOneof("value") != "dim_value" for d in dims):
        raise ModelError(f"tensor {value.name!r} has no static shape", "fix the batch size and the image size")
    return tuple(d.dim_value for d in dims)


def tensor_dtype(value: onnx.ValueInfoProto) -> str:
    """numpy's name of a value's element type."""
    return str(helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type))


def value_infos(model: onnx.ModelProto) -> dict[str, onnx.ValueInfoProto]:
    """Type and shape of every tensor that states one or whose shape can be inferred."""
    known = _stated(model.graph)
    names = {name for node in model.graph.node for name in node.output if name}
    if names <= known.keys() and all(has_axes(value) for value in known.values()):
        return known
    growing = onnx.ModelProto()
    growing.CopyFrom(ordered(model))
    while True:
        inferred = onnx.shape_inference.infer_shapes(growing, data_prop=True)
        values = _stated(inferred.graph)
        found = _counted(inferred.graph, values)
        if not found:
            return values | {name: value for name, value in known.items() if has_axes(value)}
        stated = {value.name: value for value in (*growing.graph.value_info, *growing.graph.output)}
        for value in found:  # where it is stated already, without axes, they are added
            if value.name in stated:
                stated[value.name].CopyFrom(value)
            else:
                growing.graph.value_info.append(value)


def _stated(graph: onnx.GraphProto) -> dict[str, onnx.ValueInfoProto]:
    return {v.name: v for v in (*graph.value_info, *graph.input, *graph.output) if v.type.WhichOneof("value")}


def _counted(graph: onnx.GraphProto, values: dict[str, onnx.ValueInfoProto]) -> list[onnx.ValueInfoProto]:
    """Tensors whose number of axes is known only from the operand that holds their shape; the extents stay open."""
    shapes = {tensor.name: len(tensor.dims) and tensor.dims[0] for tensor in graph.initializer}
    shapes |= {
        name: value.type.tensor_type.shape.dim[0].dim_value
        for name, value in values.items()
        if has_axes(value) and len(value.type.tensor_type.shape.dim) == 1
    }
    found = []
    for node in graph.node:
        operand = _SHAPE_OPERAND.get(node.op_type)
        output = values.get(node.output[0]) if node.output else None
        if operand is None or output is None or has_axes(output) or len(node.input) <= operand:
            continue
        axes = shapes.get(node.input[operand], 0)
        if axes:
            elem_type = output.type.tensor_type.elem_type
            found.append(helper.make_tensor_value_info(node.output[0], elem_type, [None] * axes))
    return found
