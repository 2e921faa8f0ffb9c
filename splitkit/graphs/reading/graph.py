"""A small graph of ONNX nodes over tensors whose shapes are known. Imports onnx, never tvm."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

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
    """One operator, ONNX vocabulary in its newest form (plus `Linear`). What is left out is the empty string."""

    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attrs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def output(self) -> str:
        """The first output, for the many operators that have one."""
        return self.outputs[0]


@dataclass(frozen=True)
class Graph:
    """Nodes in topological order, the type of every tensor, and the value of every constant.

    `dequantised` has the DequantizeLinear behind constants that were folded from one; its inputs are constants too.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple[Node, ...]
    types: Mapping[str, Type]
    constants: Mapping[str, Array]
    opset: int
    dequantised: Mapping[str, Node] = field(default_factory=dict)

    def with_nodes(self, nodes: list[Node], constants: Mapping[str, Array] | None = None) -> "Graph":
        """The same graph of other nodes; dead ones are dropped, types of new constants added."""
        values = dict(self.constants) | dict(constants or {})
        types = dict(self.types) | {n: type_of(v) for n, v in values.items()}
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


def type_of(value: Array) -> Type:
    """The type of a constant."""
    return Type(tuple(value.shape), str(value.dtype))


def to_proto(node: Node) -> onnx.NodeProto:
    """The node as ONNX again."""
    return helper.make_node(node.op, node.inputs, node.outputs, name=node.name, **node.attrs)
