"""One walk over a model's nodes: each is brought into its newest form, folded if it can be, and given static types.

Because every node meets the values and shapes of all that come before it, arithmetic on the shapes of static tensors is
gone by the time its result is needed.
"""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import onnx
from onnx import helper, inliner, numpy_helper

from splitkit.errors import ModelError
from splitkit.graphs.order import in_order
from splitkit.graphs.reading.fold import fold
from splitkit.graphs.reading.forms import newest_form
from splitkit.graphs.reading.functions import body, branch, without_trailing_blanks
from splitkit.graphs.reading.graph import Array, Graph, Node, Type, type_of
from splitkit.graphs.reading.infer import NEWEST, one_line, output_types, schema_of, static_type

OLDEST = 6
"""The first opset whose operators can be read: those before had other attributes, and no exporter writes them today."""

DEFINED_BY_OTHERS = frozenset(
    {
        "AffineGrid", "Attention", "CausalConvWithState", "Celu", "CenterCropPad", "FlexAttention",
        "GroupNormalization", "LinearAttention", "MeanVarianceNormalization", "NegativeLogLikelihoodLoss", "PRelu",
        "ReduceLogSumExp", "RMSNormalization", "RotaryEmbedding", "Shrink", "SoftmaxCrossEntropyLoss", "SwiGLU",
        "ThresholdedRelu",
    }
)  # fmt: skip
"""Operators read as what ONNX defines them by. Others that it defines so have kernels."""


def read_onnx(model: onnx.ModelProto) -> Graph:
    """Read a model, infer every shape and fold constants.

    Raises:
        ModelError: a tensor has no static shape, or the graph is not valid; names the node and its operator.
    """
    if model.functions:
        try:
            model = inliner.inline_local_functions(model)
        except Exception as error:  # onnx raises several private classes here
            raise ModelError(f"ONNX graph {model.graph.name!r}: {one_line(error)}") from error
    return _Walk(model).graph()


class _Walk:
    """What has been read so far. Implements `forms.Known`."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.proto = model.graph
        self.opset = _opset(model)
        if self.proto.sparse_initializer:
            name = self.proto.sparse_initializer[0].values.name
            raise ModelError(f"initialiser {name!r} is sparse", "store it as a dense tensor")
        self.constants = {t.name: np.array(numpy_helper.to_array(t)) for t in self.proto.initializer}
        self.types = {n: type_of(v) for n, v in self.constants.items()}
        self.declared: dict[str, Type] = {}
        self.inputs = tuple(i.name for i in self.proto.input if i.name not in self.constants)
        self.outputs = tuple(o.name for o in self.proto.output)
        self.nodes: list[Node] = []
        self.renamed: dict[str, str] = {}
        self.dequantised: dict[str, Node] = {}
        self.taken = {name for node in self.proto.node for name in node.output}

    def graph(self) -> Graph:
        """The whole model, read."""
        self._read_edges()
        context = onnx.checker.C.CheckerContext()
        context.ir_version, context.opset_imports = onnx.IR_VERSION, {"": self.opset}
        for index, proto in enumerate(in_order(self.proto.node)):
            name = proto.name or f"{proto.op_type}_{index}"
            if proto.domain not in ("", "ai.onnx"):
                raise ModelError(f"node {name!r} ({proto.op_type}): its domain {proto.domain!r} is not ONNX's own")
            self._check(proto, name, context)
            attrs = {a.name: helper.get_attribute_value(a) for a in proto.attribute}
            self.place(Node(proto.op_type, name, tuple(proto.input), tuple(proto.output), attrs), self.opset)
        self._check_outputs()
        empty = Graph(self.inputs, self.outputs, (), self.types, {}, NEWEST, self.dequantised)
        return empty.with_nodes(self.nodes, self.constants)

    def _check(self, proto: onnx.NodeProto, name: str, context: onnx.checker.C.CheckerContext) -> None:
        if any(attribute.HasField("g") for attribute in proto.attribute):
            return  # a branch reads what the checker has not seen
        try:
            if not schema_of(proto.op_type, self.opset).deprecated:
                onnx.checker.check_node(proto, context)
        except (onnx.checker.ValidationError, ModelError) as error:
            raise ModelError(f"node {name!r} ({proto.op_type}): {one_line(error)}") from error

    def place(self, node: Node, opset: int) -> None:
        """Read one node of an opset, whose inputs have been read."""
        node = without_trailing_blanks(replace(node, inputs=tuple(self.renamed.get(n, n) for n in node.inputs)))
        for name in node.inputs:
            if name and name not in self.types:
                raise ModelError(f"node {node.name!r} ({node.op}): nothing writes its input {name!r}")
        if node.op == "If":
            condition = self.constants.get(node.inputs[0])
            if condition is None:
                raise ModelError(f"node {node.name!r} (If): its condition depends on the graph's inputs")
            self._place_all(branch(node, bool(condition.reshape(-1)[0])), opset)
            return
        newer = newest_form(node, opset, self)
        if newer is not None:
            self._place_all(newer, NEWEST)
            return
        folded = fold(node, self.types, self.constants)
        if folded is not None:
            for name, value in folded.items():
                self._constant(name, value)
            if node.op == "DequantizeLinear":
                self.dequantised[node.output] = node
            return
        if node.op == "Identity" and node.output not in self.outputs:
            self.renamed[node.output] = node.inputs[0]
            return
        statistics = node.op == "LayerNormalization" and len(node.outputs) > 1
        defined = body(node, self.types, opset) if statistics or node.op in DEFINED_BY_OTHERS else None
        if defined is not None:
            self._place_all(*defined)
            return
        self._append(node)

    def _place_all(self, nodes: Iterable[Node], opset: int) -> None:
        for node in nodes:
            self.place(node, opset)

    def _append(self, node: Node) -> None:
        types = output_types(node, self.types, self.constants)
        for name in filter(None, node.outputs):
            type_ = types.get(name) or self.declared.get(name)
            if type_ is None:
                raise ModelError(
                    f"node {node.name!r} ({node.op}): output {name!r} has a dynamic shape",
                    "every shape must be fixed at export",
                )
            self.types[name] = type_
        if all(not self.types[name].bytes for name in filter(None, node.outputs)):
            for name in filter(None, node.outputs):
                self._constant(name, np.empty(self.types[name].shape, self.types[name].dtype))
            return
        self.nodes.append(node)

    def _constant(self, name: str, value: Array) -> None:
        self.constants[name], self.types[name] = value, type_of(value)

    def _read_edges(self) -> None:
        for value in [*self.proto.value_info, *self.proto.output, *self.proto.input]:
            if value.name in self.constants:
                continue
            role = "input" if value.name in self.inputs else "output" if value.name in self.outputs else ""
            try:
                type_ = static_type(value.type)
            except ModelError as error:
                if role:
                    raise ModelError(f"graph {role} {value.name!r} {error}") from None
                continue
            if type_ is not None:
                self.declared[value.name] = type_
        for name in self.inputs:
            if name not in self.declared:
                raise ModelError(f"graph input {name!r} has a dynamic shape", "export it with a fixed batch and size")
            if not self.declared[name].bytes:
                raise ModelError(f"graph input {name!r} has no elements")
            self.types[name] = self.declared[name]

    def _check_outputs(self) -> None:
        for name in self.outputs:
            if name in self.constants:
                raise ModelError(f"graph output {name!r} does not depend on the input")
            if name not in self.types:
                raise ModelError(f"nothing writes graph output {name!r}")
            stated = self.declared.get(name, self.types[name])
            if stated != self.types[name]:
                raise ModelError(
                    f"graph output {name!r} is stated to be {stated.dtype}{list(stated.shape)} "
                    f"and computed as {self.types[name].dtype}{list(self.types[name].shape)}"
                )

    # what forms of nodes may ask for, see `forms.Known`

    def type(self, name: str) -> Type:
        return self.types[name]

    def constant(self, name: str) -> Array | None:
        return self.constants.get(name)

    def add(self, hint: str, value: Array) -> str:
        name = self.fresh(hint)
        self._constant(name, value)
        return name

    def fresh(self, hint: str) -> str:
        while hint in self.taken or hint in self.types:
            hint += "_"
        self.taken.add(hint)
        return hint


def _opset(model: onnx.ModelProto) -> int:
    found = [o.version for o in model.opset_import if o.domain in ("", "ai.onnx")] or [1]
    if not OLDEST <= found[0] <= NEWEST:
        raise ModelError(f"ONNX graph {model.graph.name!r} is of opset {found[0]}", f"{OLDEST} to {NEWEST} can be read")
    return int(found[0])
