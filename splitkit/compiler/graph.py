"""An ONNX model as a small graph of nodes over tensors whose shapes are known. Imports onnx, never tvm.

Constants are folded while reading, so that what is left computes on activations only.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper, shape_inference

from splitkit.errors import ModelError

Array = NDArray[Any]


@dataclass(frozen=True)
class Type:
    """Static shape and numpy dtype name of a tensor."""

    shape: tuple[int, ...]
    dtype: str

    @property
    def bytes(self) -> int:
        """Size in bytes."""
        return int(np.prod(self.shape, dtype=np.int64)) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class Node:
    """One operator, ONNX vocabulary (plus `Swish`). A missing optional input is the empty string."""

    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attrs: Mapping[str, Any] = field(default_factory=dict)
    domain: str = ""

    @property
    def output(self) -> str:
        """The first output, for the many operators that have one."""
        return self.outputs[0]


@dataclass(frozen=True)
class Graph:
    """Nodes in topological order, the type of every tensor, and the value of every constant."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple[Node, ...]
    types: Mapping[str, Type]
    constants: Mapping[str, Array]
    opsets: Mapping[str, int]

    def with_nodes(self, nodes: list[Node], constants: Mapping[str, Array] | None = None) -> "Graph":
        """The same graph of other nodes; dead ones are dropped, types of new constants added."""
        values = dict(self.constants) | dict(constants or {})
        types = dict(self.types) | {n: _type_of(v) for n, v in values.items()}
        return replace(self, nodes=tuple(_alive(nodes, self.outputs)), types=types, constants=values)

    def consumers(self) -> dict[str, list[Node]]:
        """Nodes that read each tensor, once per use. Graph outputs are not counted."""
        found: dict[str, list[Node]] = {}
        for node in self.nodes:
            for name in node.inputs:
                found.setdefault(name, []).append(node)
        return found

    def producers(self) -> dict[str, Node]:
        """The node that writes each tensor."""
        return {name: node for node in self.nodes for name in node.outputs}


def _alive(nodes: list[Node], outputs: tuple[str, ...]) -> Iterator[Node]:
    needed, kept = set(outputs), []
    for node in reversed(nodes):
        if needed.intersection(node.outputs):
            needed.update(n for n in node.inputs if n)
            kept.append(node)
    return reversed(kept)


def _type_of(value: Array) -> Type:
    return Type(tuple(value.shape), str(value.dtype))


def read_onnx(model: onnx.ModelProto) -> Graph:
    """Read a model, infer every shape and fold constants.

    Raises:
        ModelError: a tensor has no static shape, or the graph is not valid; names the node and its operator.
    """
    try:
        inferred = shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    except Exception as error:  # onnx raises several private classes here
        raise ModelError(f"ONNX graph {model.graph.name!r}: {str(error).splitlines()[0]}") from error
    graph = inferred.graph
    constants = {t.name: np.array(numpy_helper.to_array(t)) for t in graph.initializer}
    values = [*graph.input, *graph.value_info, *graph.output]
    types = {v.name: t for v in values if (t := _static_type(v)) is not None}
    types |= {n: _type_of(v) for n, v in constants.items()}
    opsets = {o.domain: o.version for o in inferred.opset_import}
    inputs = tuple(i.name for i in graph.input if i.name not in constants)
    for name in inputs:
        if name not in types:
            raise ModelError(f"graph input {name!r} has a dynamic shape", "export it with a fixed batch and size")
    nodes: list[Node] = []
    renamed: dict[str, str] = {}
    outputs = tuple(o.name for o in graph.output)
    for index, proto in enumerate(graph.node):
        attrs = {a.name: helper.get_attribute_value(a) for a in proto.attribute}
        name = proto.name or f"{proto.op_type}_{index}"
        ins = tuple(renamed.get(n, n) for n in proto.input)
        node = Node(proto.op_type, name, ins, tuple(proto.output), attrs, proto.domain)
        folded = _fold(node, types, constants, opsets)
        if folded is not None:
            constants |= folded
            types |= {n: _type_of(v) for n, v in folded.items()}
        elif node.op in _TRANSPARENT and node.output not in outputs:
            renamed[node.output] = node.inputs[0]
        else:
            for out in node.outputs:
                if out and out not in types:
                    raise ModelError(
                        f"node {name!r} ({node.op}): output {out!r} has a dynamic shape",
                        "every shape must be fixed at export",
                    )
            nodes.append(node)
    _refuse_constant_outputs(outputs, constants)
    return Graph(inputs, outputs, (), types, {}, opsets).with_nodes(nodes, constants)


_TRANSPARENT = {"Identity", "Dropout"}


def _refuse_constant_outputs(outputs: tuple[str, ...], constants: Mapping[str, Array]) -> None:
    for name in outputs:
        if name in constants:
            raise ModelError(f"graph output {name!r} does not depend on the input")


def _static_type(value: onnx.ValueInfoProto) -> Type | None:
    tensor = value.type.tensor_type
    if not value.type.HasField("tensor_type") or not tensor.HasField("shape"):
        return None
    dims = [d.dim_value if d.HasField("dim_value") else 0 for d in tensor.shape.dim]
    if any(d <= 0 for d in dims) or tensor.elem_type == 0:
        return None
    return Type(tuple(dims), str(np.dtype(helper.tensor_dtype_to_np_dtype(tensor.elem_type))))


def _fold(
    node: Node, types: Mapping[str, Type], constants: Mapping[str, Array], opsets: Mapping[str, int]
) -> dict[str, Array] | None:
    """Values of the node's outputs if they do not depend on activations."""
    if node.op == "Shape" and node.inputs[0] in types:
        shape = types[node.inputs[0]].shape
        return {node.output: np.array(shape[node.attrs.get("start", 0) : node.attrs.get("end")], np.int64)}
    if not all(n in constants for n in node.inputs if n):
        return None
    quick = _QUICK.get(node.op)
    if quick is not None and not node.domain:
        return {node.output: quick(node, [constants[n] for n in node.inputs if n])}
    return _evaluate(node, constants, opsets)


def _constant(node: Node, _: list[Array]) -> Array:
    (kind, value), *_rest = node.attrs.items()
    if kind == "value":
        return np.array(numpy_helper.to_array(value))
    return np.array(value, np.float32 if "float" in kind else np.int64)


_QUICK: dict[str, Callable[[Node, list[Array]], Array]] = {
    "Constant": _constant,
    "Identity": lambda _, args: args[0],
    "Unsqueeze": lambda n, args: np.expand_dims(
        args[0], tuple(int(a) for a in (args[1] if len(args) > 1 else n.attrs["axes"]))
    ),
    "Gather": lambda n, args: np.asarray(np.take(args[0], args[1], axis=n.attrs.get("axis", 0))),
    "Concat": lambda n, args: np.concatenate(args, axis=n.attrs["axis"]),
}


def _evaluate(node: Node, constants: Mapping[str, Array], opsets: Mapping[str, int]) -> dict[str, Array]:
    from onnx.reference import ReferenceEvaluator

    used = {n: constants[n] for n in node.inputs if n}
    infos = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape) for n, v in used.items()
    ]
    outs = [helper.make_empty_tensor_value_info(n) for n in node.outputs if n]
    graph = helper.make_graph([to_proto(node)], "constant", infos, outs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid(d, v) for d, v in opsets.items()])
    try:
        values = ReferenceEvaluator(model).run(None, used)
    except Exception as error:
        raise ModelError(f"node {node.name!r} ({node.op}): cannot be folded: {error}") from error
    return {n: np.asarray(v) for n, v in zip((n for n in node.outputs if n), values, strict=True)}


def to_proto(node: Node) -> onnx.NodeProto:
    """The node as ONNX again."""
    return helper.make_node(node.op, node.inputs, node.outputs, name=node.name, domain=node.domain, **node.attrs)
