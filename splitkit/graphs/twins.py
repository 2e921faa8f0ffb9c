"""Tensors of several views that are computed alike: the same operators, the same weights, each of its own view."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import numpy_helper

from splitkit.errors import ModelError
from splitkit.graphs.constants import constant_value
from splitkit.graphs.order import in_order, needed


def twins_of(
    model: onnx.ModelProto, inputs: Sequence[str], join: Sequence[str]
) -> tuple[dict[str, tuple[str, ...]], tuple[str, ...]]:
    """What the branches of several views have in common, up to where they join.

    Args:
        inputs: one a view.
        join: tensors that are computed of one view, whichever.

    Returns:
        The name in each view, the first view's first, of its input and of every tensor that those at the join depend
        on, in order; and the first view's tensors at the join.

    Raises:
        ModelError: a tensor of the join is unknown or depends on another number of views than one, or views differ:
            the first operator that has no twin is named.
    """
    branches = _Branches(model, inputs)
    wanted = dict.fromkeys(branches.in_first_view(name) for name in join)
    found: dict[str, tuple[str, ...]] = {inputs[0]: tuple(inputs)}
    for name in branches.leading_to(wanted):
        found[name] = (name, *(branches.twin(name, view) for view in inputs[1:]))
    return found, tuple(wanted)


@dataclass(frozen=True)
class _Tensor:
    """What computes it, as a digest of operators, attributes and weights back to the inputs, and which inputs."""

    digest: str
    inputs: frozenset[str]


class _Branches:
    """A model's tensors by what computes them."""

    def __init__(self, model: onnx.ModelProto, views: Sequence[str]) -> None:
        self.graph, self.views = model.graph, tuple(views)
        self.nodes = in_order(model.graph.node)
        self.writer = {name: node for node in self.nodes for name in node.output if name}
        self.tensors: dict[str, _Tensor] = {}
        for tensor in model.graph.initializer:
            self.tensors[tensor.name] = _Tensor(_digest_of(tensor), frozenset())
        for value in model.graph.input:
            what = b"a view" if value.name in views else value.name.encode()
            if value.name not in self.tensors:
                self.tensors[value.name] = _Tensor(_digest(what), frozenset([value.name]))
        for node in self.nodes:
            if (constant := self._constant(node)) is not None:
                self.tensors[node.output[0]] = constant
                continue
            read = [self.tensors[name] for name in needed(node) if name in self.tensors]
            # Operands that are left out, or of which nothing is known, leave gaps.
            places = [b"" if name in self.tensors else name.encode() or b"none" for name in node.input]
            digest = _digest(_kind(node), b"|".join(places), *(tensor.digest.encode() for tensor in read))
            for i, name in enumerate(node.output):
                inputs = frozenset().union(*(tensor.inputs for tensor in read))
                self.tensors[name] = _Tensor(_digest(digest.encode(), str(i).encode()), inputs)
        self.alike: dict[tuple[str, str], list[str]] = {}
        for name, tensor in self.tensors.items():
            if len(tensor.inputs) == 1 and name:
                [view] = tensor.inputs
                self.alike.setdefault((tensor.digest, view), []).append(name)

    def _constant(self, node: onnx.NodeProto) -> _Tensor | None:
        """What an operator writes that only says what a constant is, which exporters say in several ways."""
        if node.op_type == "Identity" and node.input[0] in self.tensors and not self.tensors[node.input[0]].inputs:
            return self.tensors[node.input[0]]
        value = constant_value(node)
        return None if value is None else _Tensor(_digest_of(value), frozenset())

    def in_first_view(self, name: str) -> str:
        """The twin in the first view of a tensor that is computed of any."""
        if name not in self.tensors:
            raise ModelError(f"no tensor is called {name!r} in graph {self.graph.name!r}", "--join names tensors")
        inputs = sorted(self.tensors[name].inputs)
        if len(inputs) != 1 or inputs[0] not in self.views:
            what = ", ".join(map(repr, inputs)) or "no input"
            raise ModelError(f"tensor {name!r} depends on {what}", "--join names what is computed of one view")
        if inputs[0] == self.views[0]:
            return name
        found = self.alike.get((self.tensors[name].digest, self.views[0]))
        if not found:  # then what leads to it differs somewhere
            for ahead in self.leading_to([name]):
                self.twin(ahead, self.views[0])
            raise AssertionError(name)
        return found[0]

    def leading_to(self, tensors: Sequence[str] | Mapping[str, None]) -> list[str]:
        """Computed tensors of a view that others depend on, these included, in the nodes' order."""
        ahead, stack = set[str](), list(tensors)
        while stack:
            name = stack.pop()
            if name not in ahead and name in self.writer and self.tensors[name].inputs:
                ahead.add(name)
                stack += needed(self.writer[name])
        return [name for node in self.nodes for name in node.output if name in ahead]

    def twin(self, name: str, view: str) -> str:
        """The tensor of another view that is computed alike.

        Where a view computes the same several times, the first is the first's twin, and so on.
        """
        own = self.tensors[name]
        [view_of] = own.inputs
        alike = self.alike[own.digest, view_of]
        found = self.alike.get((own.digest, view), [])
        number = alike.index(name)
        if number >= len(found):
            raise ModelError(
                f"views {view_of!r} and {view!r} differ at {self._label(name)}: {self._why(name, view)}",
                "up to the join all views go through the same operators with the same weights",
            )
        return found[number]

    def _label(self, name: str) -> str:
        node = self.writer[name]
        return f"{node.op_type} {node.name!r}" if node.name else f"the {node.op_type} that writes {name!r}"

    def _why(self, name: str, view: str) -> str:
        """What stands in another view where an operator stands in this: of those that read the same, the nearest."""
        node = self.writer[name]
        reads = self._varying(node, view_of=None)
        rivals = [other for other in self.nodes if self._varying(other, view_of=view) == reads]
        same = [other for other in rivals if other.op_type == node.op_type]
        if not rivals:
            return "nothing reads the same there"
        if not same:
            return f"there it is {self._label(rivals[0].output[0])}"
        other = same[0]
        there = f"{other.name or other.output[0]!r}"
        if _kind(other) != _kind(node):
            return f"attributes of {there} are others"
        weights = [
            (a, b) for a, b in zip(node.input, other.input, strict=False)
            if a in self.tensors and b in self.tensors and self.tensors[a].digest != self.tensors[b].digest
        ]  # fmt: skip
        return "weights {!r} and {!r} are not the same".format(*weights[0]) if weights else f"{there} reads others"

    def _varying(self, node: onnx.NodeProto, view_of: str | None) -> list[str] | None:
        """Digests of what it reads that depends on one view, on that one if it is named; None where nothing does."""
        read = [self.tensors[name] for name in needed(node) if name in self.tensors]
        varying = [tensor for tensor in read if tensor.inputs]
        if not varying or any(view_of is not None and tensor.inputs != {view_of} for tensor in varying):
            return None
        return [tensor.digest for tensor in varying]


def _kind(node: onnx.NodeProto) -> bytes:
    """An operator without its name and those of its tensors."""
    attributes = []
    for attribute in sorted(node.attribute, key=lambda attribute: attribute.name):
        if attribute.type == onnx.AttributeProto.TENSOR:
            value = _digest_of(attribute.t).encode()
        else:
            value = attribute.SerializeToString(deterministic=True)
        attributes += [attribute.name.encode(), value]
    return _digest(node.domain.encode(), node.op_type.encode(), *attributes).encode()


def _digest_of(tensor: onnx.TensorProto) -> str:
    """Of its type, shape and values, however they are stored."""
    array = numpy_helper.to_array(tensor)
    values = array.astype(np.str_).tobytes() if array.dtype == np.object_ else array.tobytes()
    return _digest(str(tensor.data_type).encode(), str(array.shape).encode(), values)


def _digest(*parts: bytes) -> str:
    found = hashlib.sha256()
    for part in parts:
        found.update(len(part).to_bytes(8, "little"))
        found.update(part)
    return found.hexdigest()
