"""Values of tensors that do not depend on activations."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from onnx import helper, numpy_helper

from splitkit.errors import ModelError
from splitkit.graphs.reading.graph import Array, Node, Type, to_proto
from splitkit.graphs.reading.infer import NEWEST, one_line

RANDOM = frozenset(
    {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial"}
)
"""Operators that give other values in every run, however constant their inputs are."""


def fold(node: Node, types: Mapping[str, Type], constants: Mapping[str, Array]) -> dict[str, Array] | None:
    """Values of the node's outputs if they follow from constants, or from the shapes of activations; else None.

    Raises:
        ModelError: they follow, but cannot be computed.
    """
    if node.op in _OF_SHAPE and node.inputs[0] in types:
        return {node.outputs[0]: _OF_SHAPE[node.op](node, types[node.inputs[0]])}
    if node.op in RANDOM or not all(name in constants for name in node.inputs if name):
        return None
    quick = _QUICK.get(node.op)
    if quick is not None:
        return {node.outputs[0]: quick(node, [constants[name] for name in node.inputs if name])}
    return _evaluate(node, constants)


def _shape(node: Node, type_: Type) -> Array:
    return np.array(type_.shape[node.attrs.get("start", 0) : node.attrs.get("end")], np.int64)


def _eye(node: Node, type_: Type) -> Array:
    dtype = helper.tensor_dtype_to_np_dtype(node.attrs["dtype"]) if "dtype" in node.attrs else type_.dtype
    rows, columns = type_.shape
    return np.asarray(np.eye(rows, columns, node.attrs.get("k", 0)).astype(dtype))


_OF_SHAPE: dict[str, Callable[[Node, Type], Array]] = {
    "Shape": _shape,
    "Size": lambda _, type_: np.array(np.prod(type_.shape, dtype=np.int64), np.int64),
    "EyeLike": _eye,
}


def _constant(node: Node, _: list[Array]) -> Array:
    (kind, value), *_rest = node.attrs.items()
    if kind == "value":
        return np.array(numpy_helper.to_array(value))
    if kind not in ("value_float", "value_floats", "value_int", "value_ints"):
        raise ModelError(f"node {node.name!r} (Constant): {kind} is no tensor of numbers")
    return np.array(value, np.float32 if "float" in kind else np.int64)


_QUICK: dict[str, Callable[[Node, list[Array]], Array]] = {
    "Constant": _constant,
    "Identity": lambda _, args: args[0],
    "Unsqueeze": lambda _, args: np.expand_dims(args[0], tuple(int(a) for a in args[1].reshape(-1))),
    "Gather": lambda node, args: np.asarray(np.take(args[0], args[1], axis=node.attrs.get("axis", 0))),
    "Concat": lambda node, args: np.concatenate(args, axis=node.attrs["axis"]),
}


def _evaluate(node: Node, constants: Mapping[str, Array]) -> dict[str, Array]:
    from onnx.reference import ReferenceEvaluator

    used: dict[str, Any] = {n: constants[n] for n in node.inputs if n}
    infos = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape) for n, v in used.items()
    ]
    outs = [helper.make_empty_tensor_value_info(n) for n in node.outputs if n]
    graph = helper.make_graph([to_proto(node)], "constant", infos, outs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", NEWEST)])
    try:
        values = [np.asarray(v) for v in ReferenceEvaluator(model).run(None, used)]
    except Exception as error:
        raise ModelError(f"node {node.name!r} ({node.op}): cannot be folded: {one_line(error)}") from error
    return dict(zip((n for n in node.outputs if n), values, strict=True))
