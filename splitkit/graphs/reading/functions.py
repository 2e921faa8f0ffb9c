"""Operators that ONNX itself defines by others, as those others."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import onnx
from onnx import defs, helper

from splitkit.graphs.reading.graph import Node, Type, to_proto
from splitkit.graphs.reading.infer import NEWEST, schema_of, type_proto


def body(node: Node, types: Mapping[str, Type], opset: int) -> tuple[list[Node], int] | None:
    """The nodes that an operator stands for and the opset they are of; None if ONNX has no definition of it.

    The definition is the one of the node's own opset, or of the newest where only that has one.
    """
    for version in (opset, NEWEST):
        schema: Any = schema_of(node.op, version)  # onnx's stubs leave these attributes out
        text = b""
        if schema.has_function:
            text = schema.get_function_with_opset_version(max(schema.function_opset_versions))
        elif schema.has_context_dependent_function:
            given = [type_proto(types[name]).SerializeToString() if name else b"" for name in node.inputs]
            text = schema.get_context_dependent_function_with_opset_version(
                max(schema.context_dependent_function_opset_versions), to_proto(node).SerializeToString(), given
            )
        if text:
            function = onnx.FunctionProto.FromString(text)
            return _renamed(node, function, schema), next(o.version for o in function.opset_import if not o.domain)
    return None


def _renamed(node: Node, function: onnx.FunctionProto, schema: defs.OpSchema) -> list[Node]:
    """The function's nodes on the node's own tensors; tensors between them are named after its output."""
    defaults = {n: a.default_value for n, a in schema.attributes.items() if a.default_value.name}
    attrs = {name: helper.get_attribute_value(value) for name, value in defaults.items()} | dict(node.attrs)
    names = {"": ""}
    for formal, actual in ((function.input, node.inputs), (function.output, node.outputs)):
        names |= dict(zip(formal, [*actual, *[""] * (len(formal) - len(actual))], strict=True))
    unused = [name for name in function.output if not names[name]]
    names |= {name: f"{node.outputs[0]}/{name}" for name in unused}
    nodes = []
    for index, proto in enumerate(function.node):
        for name in (*proto.input, *proto.output):
            names.setdefault(name, f"{node.outputs[0]}/{name}")
        inner = Node(
            proto.op_type,
            f"{node.name}/{proto.op_type}{index}",
            tuple(names[name] for name in proto.input),
            tuple(names[name] for name in proto.output),
            _attributes(proto, attrs, names),
        )
        nodes.append(inner)
    return nodes


def _attributes(proto: onnx.NodeProto, attrs: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for attribute in proto.attribute:
        if attribute.HasField("g"):
            found[attribute.name] = _renamed_body(attribute.g, names)
        elif not attribute.ref_attr_name:
            found[attribute.name] = helper.get_attribute_value(attribute)
        elif attribute.ref_attr_name in attrs:
            found[attribute.name] = attrs[attribute.ref_attr_name]
    return found


def _renamed_body(graph: onnx.GraphProto, names: Mapping[str, str]) -> onnx.GraphProto:
    """A branch whose nodes read what the function's tensors are called outside it."""
    copy = onnx.GraphProto()
    copy.CopyFrom(graph)
    for inner in copy.node:
        inner.input[:] = [names.get(name, name) for name in inner.input]
    for value in copy.output:
        value.name = names.get(value.name, value.name)
    return copy


def branch(node: Node, condition: bool) -> list[Node]:
    """The nodes of the branch that an If takes; tensors inside are named after its output."""
    graph = node.attrs["then_branch" if condition else "else_branch"]
    inside = [*(t.name for t in graph.initializer), *(n for p in graph.node for n in p.output if n)]
    names = {name: f"{node.outputs[0]}/{name}" for name in inside}
    constants = [
        Node("Constant", f"{node.name}/{t.name}", (), (names[t.name],), {"value": t}) for t in graph.initializer
    ]
    nodes = [
        Node(
            p.op_type,
            f"{node.name}/{p.name or p.op_type}{i}",
            tuple(names.get(n, n) for n in p.input),
            tuple(names.get(n, n) for n in p.output),
            _attributes(p, {}, names),
        )
        for i, p in enumerate(graph.node)
    ]
    results = [
        Node("Identity", f"{node.name}/{value.name}", (names.get(value.name, value.name),), (output,))
        for value, output in zip(graph.output, node.outputs, strict=False)
        if output
    ]
    return [*constants, *nodes, *results]


def without_trailing_blanks(node: Node) -> Node:
    """The same node without inputs and outputs that are left out at the end."""

    def trimmed(names: tuple[str, ...]) -> tuple[str, ...]:
        while names and not names[-1]:
            names = names[:-1]
        return names

    return replace(node, inputs=trimmed(node.inputs), outputs=trimmed(node.outputs))
