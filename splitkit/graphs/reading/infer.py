"""Type and shape of what a single node writes, by onnx's own inference, given the values of its constants."""

from collections.abc import Mapping
from functools import cache

import numpy as np
import onnx
from onnx import defs, helper, numpy_helper, shape_inference

from splitkit.errors import ModelError
from splitkit.graphs.reading.graph import Array, Node, Type, to_proto

KNOWN = frozenset(
    ["float32", "float64", "float16", "bool"] + [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
)
"""Element types that the kernels can have."""
NEWEST = defs.onnx_opset_version()
"""The opset of everything that has been read."""
SMALL = 1 << 12
"""Elements a constant may have to be shown to the inference: shapes, axes, sizes."""


@cache
def schema_of(op: str, opset: int) -> defs.OpSchema:
    """The schema that an opset has of an operator.

    Raises:
        ModelError: it has none.
    """
    try:
        return defs.get_schema(op, opset, "")
    except defs.SchemaError:
        raise ModelError(f"opset {opset} has no operator {op}") from None


def output_types(node: Node, types: Mapping[str, Type], constants: Mapping[str, Array]) -> dict[str, Type]:
    """Types of the outputs that onnx can tell; an output without a static shape is left out.

    Raises:
        ModelError: the node is not valid, or an element type is none that a kernel can have; names both.
    """
    used = [name for name in dict.fromkeys(node.inputs) if name]
    small = [name for name in used if name in constants and constants[name].size <= SMALL]
    imports = [helper.make_opsetid("", NEWEST)]
    try:
        given = {name: type_proto(types[name]) for name in used}
        data = {name: numpy_helper.from_array(constants[name], name) for name in small}
        schema = schema_of(node.op, NEWEST)
        found = shape_inference.infer_node_outputs(schema, to_proto(node), given, data, opset_imports=imports)
    except ModelError as error:
        raise ModelError(f"node {node.name!r} ({node.op}): {error}") from None
    except Exception as error:  # onnx raises several private classes here
        raise ModelError(f"node {node.name!r} ({node.op}): {one_line(error)}") from error
    known: dict[str, Type] = {}
    for name, proto in found.items():
        try:
            type_ = static_type(proto)
        except ModelError as error:
            raise ModelError(f"node {node.name!r} ({node.op}): output {name!r} {error}") from None
        if type_ is not None:
            known[name] = type_
    return known


def static_type(proto: onnx.TypeProto) -> Type | None:
    """A tensor's type if its shape is static, else None.

    Raises:
        ModelError: it is no tensor, or of elements that no kernel can have.
    """
    if not proto.HasField("tensor_type"):
        if proto.WhichOneof("value") is None:
            return None
        raise ModelError(f"is no tensor but a {str(proto.WhichOneof('value')).removesuffix('_type')}")
    tensor = proto.tensor_type
    if tensor.elem_type == 0:
        return None
    dtype = str(np.dtype(helper.tensor_dtype_to_np_dtype(tensor.elem_type)))
    if dtype not in KNOWN:
        kind = onnx.TensorProto.DataType.Name(tensor.elem_type).lower()
        raise ModelError(f"has elements of {kind}, which no kernel can have")
    if not tensor.HasField("shape") or any(not d.HasField("dim_value") or d.dim_value < 0 for d in tensor.shape.dim):
        return None
    return Type(tuple(d.dim_value for d in tensor.shape.dim), dtype)


def one_line(error: BaseException) -> str:
    """The first line of a message that says something."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def type_proto(type_: Type) -> onnx.TypeProto:
    """A type as ONNX has it."""
    return helper.make_tensor_type_proto(helper.np_dtype_to_tensor_dtype(np.dtype(type_.dtype)), type_.shape)
