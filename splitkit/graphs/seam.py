"""A copy of a model opened along a cut, so that operators can be put between its two sides."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from splitkit.graphs.cut import cut
from splitkit.graphs.order import in_order
from splitkit.graphs.shapes import tensor_dtype, tensor_shape, value_infos


class Seam:
    """What crosses a cut may be led through other operators: what is ahead of the cut goes on reading tensors as they
    were, what is behind it reads what `lead` says instead.

    Attributes:
        computed: the float32 tensors that the first side computes and that cross, by their names in the model; outputs
            of the model, which cross as they are in any case, are none of them.
        shapes: of those.

    Raises:
        ModelError: the model cannot be cut there.
    """

    def __init__(self, model: onnx.ModelProto, tensors: Sequence[str]) -> None:
        halves, values = cut(model, tensors), value_infos(model)
        outputs = {value.name for value in model.graph.output}
        inner = [name for name in halves.tensors if name not in outputs]
        self.computed = tuple(name for name in inner if tensor_dtype(values[name]) == "float32")
        self.shapes = {name: tensor_shape(values[name]) for name in self.computed}
        self.opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)
        self._ahead = {name for node in halves.head.graph.node for name in node.output}
        self.model = onnx.ModelProto()
        self.model.CopyFrom(model)
        self._taken = _names(self.model.graph)
        self._nodes: list[onnx.NodeProto] = []
        self._led: dict[str, str] = {}

    def fresh(self, name: str) -> str:
        """The name, or one like it that nothing has; taken from then on."""
        while name in self._taken:
            name += "_"
        self._taken.add(name)
        return name

    def constant(self, name: str, value: NDArray[Any]) -> str:
        """An initialiser; its name."""
        name = self.fresh(name)
        self.model.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def put(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """An operator with one output, by the name asked for or one like it; that name."""
        output = self.fresh(output)
        self._nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def state(self, name: str, dtype: int, shape: Sequence[int]) -> None:
        """Write down the type and shape of a tensor that is new."""
        self.model.graph.value_info.append(helper.make_tensor_value_info(name, dtype, shape))

    def lead(self, tensor: str, to: str) -> None:
        """What is behind the cut reads `to` where it read a tensor that crosses."""
        self._led[tensor] = to

    def close(self) -> onnx.ModelProto:
        """The model with all of that in it."""
        for node in self.model.graph.node:
            if not self._ahead.issuperset(node.output):
                _rename(node, self._led)
        nodes = in_order([*self.model.graph.node, *self._nodes])
        del self.model.graph.node[:]
        self.model.graph.node.extend(nodes)
        return self.model


def _names(graph: onnx.GraphProto) -> set[str]:
    """Every name of a graph and of the bodies in it."""
    found = {value.name for value in (*graph.input, *graph.output, *graph.value_info)}
    found |= {tensor.name for tensor in graph.initializer}
    for node in graph.node:
        found |= {*node.input, *node.output}
        for body in _bodies(node):
            found |= _names(body)
    return found


def _rename(node: onnx.NodeProto, names: Mapping[str, str]) -> None:
    """What a node reads, and the bodies of control flow read from outside."""
    for i, name in enumerate(node.input):
        node.input[i] = names.get(name, name)
    for body in _bodies(node):
        for inner in body.node:
            _rename(inner, names)
        for value in body.output:
            value.name = names.get(value.name, value.name)


def _bodies(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    return [
        body
        for attribute in node.attribute
        for body in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs)
    ]
