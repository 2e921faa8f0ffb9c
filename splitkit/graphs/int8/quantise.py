"""A float model as a quantised one: steps around every operator that can run in integers.

The result is plain ONNX, QuantizeLinear and DequantizeLinear around the operators of the original, as `patterns` and
other tools read it: activations in uint8 with one scale and zero point each, weights in int8 with one scale an output
channel (Krishnamoorthi, "Quantizing deep convolutional networks for efficient inference", 2018, section 3), biases in
int32. A Relu or Clip right behind a layer needs no steps between the two: its bounds become those of the bytes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from splitkit.errors import ModelError
from splitkit.graphs.int8.functions import FUNCTIONS
from splitkit.graphs.narrow import affine
from splitkit.graphs.quantisation import stated_quantisation
from splitkit.graphs.shapes import value_infos

OLDEST = 13
"""Opset from which weights may have a scale for each output channel."""

UNEVEN = 1.00261
"""By which ranges are widened of what is computed in floats, such as pixels that were resized: with steps of whole
levels, means of two pixels would lie just between two steps, and runtimes would round them either way."""

BOUNDS = frozenset({"Relu", "Clip"})
LAYERS = frozenset({"Conv", "Gemm", "MatMul"})
PAIRS = frozenset({"Add", "Mul"})
GATES = frozenset({"Sigmoid", "HardSigmoid"})
VIEWS = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze"})

Ranges = Mapping[str, tuple[float, float]]


def quantised_tensors(model: onnx.ModelProto) -> tuple[str, ...]:
    """Activations that get steps, and so need a range."""
    return tuple(_Quantiser(model).steps)


def quantised(model: onnx.ModelProto, ranges: Ranges) -> onnx.ModelProto:
    """A quantised copy. What it does not know how to quantise, it leaves in float32.

    Args:
        model: with static shapes, its batch norms folded.
        ranges: lowest and highest value of each of `quantised_tensors`, in real numbers.

    Raises:
        ModelError: the model is of an opset that has no such operators.
    """
    return _Quantiser(model).model(ranges)


class _Quantiser:
    def __init__(self, model: onnx.ModelProto) -> None:
        found = [o.version for o in model.opset_import if o.domain in ("", "ai.onnx")]
        if not found or found[0] < OLDEST:
            raise ModelError(f"the model is of opset {found[0] if found else '?'}", f"int8 takes {OLDEST} or later")
        self.original = model
        self.weights = {t.name: t for t in model.graph.initializer}
        self.constants = {name: numpy_helper.to_array(t) for name, t in self.weights.items()}
        self.values = value_infos(model)
        self.nodes = list(model.graph.node)
        self.makers = {name: node for node in self.nodes for name in node.output}
        self.readers: dict[str, list[onnx.NodeProto]] = {}
        for node in self.nodes:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)
        self.outputs = {value.name for value in model.graph.output}
        self.links = _links(model, self.makers, self.constants)
        self.layers = {id(node) for node in self.nodes if self._is_quantised(node)}
        self.steps = self._steps()

    # what is quantised

    def _is_float(self, name: str) -> bool:
        value = self.values.get(name)
        return (
            name not in self.constants and value is not None and (value.type.tensor_type.elem_type == TensorProto.FLOAT)
        )

    def _shape(self, name: str) -> tuple[int, ...]:
        return tuple(d.dim_value for d in self.values[name].type.tensor_type.shape.dim)

    def _is_quantised(self, node: onnx.NodeProto) -> bool:
        """Whether the operator can run in integers."""
        if not node.input or not self._is_float(node.output[0]) or node.output[0] in self.links.inside:
            return False
        data = [name for name in node.input if name and name not in self.constants]
        if not all(self._is_float(name) for name in data):
            return False
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        if node.op_type in LAYERS:
            weight = self.constants.get(node.input[1])
            if data != [node.input[0]] or weight is None or weight.dtype != np.float32:
                return False
            if node.op_type == "Conv":
                return weight.ndim == 4
            plain = all(attributes.get(name, 1.0) == 1.0 for name in ("alpha", "beta"))
            return weight.ndim == 2 and len(self._shape(data[0])) == 2 and plain and not attributes.get("transA", 0)
        if self._gate(node) is not None:
            return self._made_in_integers(self._gated(node))
        if node.op_type in PAIRS and len(data) == 2:
            a, b = (self._shape(name) for name in data)
            spread = sorted((a, b), key=lambda shape: -int(np.prod(shape)))
            by_channel = node.op_type == "Mul" and len(a) == len(b) == 4 and spread[1] == (*spread[0][:2], 1, 1)
            return a == b or by_channel
        if node.op_type == "GlobalAveragePool":
            return len(self._shape(data[0])) == 4
        if node.op_type in VIEWS:
            return self._made_in_integers(data[0])
        single = all(self.constants[name].size == 1 for name in node.input if name in self.constants)
        return node.op_type in FUNCTIONS and len(data) == 1 and single and self._made_in_integers(data[0])

    def _gate(self, node: onnx.NodeProto) -> onnx.NodeProto | None:
        """The sigmoid that alone a product reads beside what the sigmoid is of: x sigmoid(x), one function of x."""
        if node.op_type != "Mul":
            return None
        for name, other in (node.input, reversed(node.input)):
            made = self.makers.get(other)
            alone = other not in self.outputs and len(self.readers.get(other, ())) == 1
            if made is not None and made.op_type in GATES and made.input[0] == name and alone:
                gate: onnx.NodeProto = made
                return gate
        return None

    def _gated(self, node: onnx.NodeProto) -> str:
        """What such a product is a function of."""
        gate = self._gate(node)
        assert gate is not None
        return str(gate.input[0])

    def _made_in_integers(self, name: str) -> bool:
        """Whether the tensor comes out of such an operator: what moves or looks up bytes is not worth them alone."""
        made = self.makers.get(name)
        return made is not None and self._is_quantised(made)

    def _bounded_by(self, node: onnx.NodeProto) -> onnx.NodeProto | None:
        """The Relu or Clip that alone reads a layer's result."""
        name = node.output[0]
        readers = self.readers.get(name, [])
        if node.op_type not in LAYERS | {"Add"} or name in self.outputs or len(readers) != 1:
            return None
        reader = readers[0]
        constant = all(n in self.constants for n in reader.input[1:] if n)
        return reader if reader.op_type in BOUNDS and constant and id(reader) in self.layers else None

    def _inside(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        """Operators ahead of this one that run in one kernel with it."""
        ahead = [self.makers[name] for name in node.input if name in self.makers]
        return [made for made in ahead if self._bounded_by(made) is node or self._gate(node) is made]

    def _is_inside(self, node: onnx.NodeProto) -> bool:
        """Whether its result never leaves the kernel."""
        return any(node in self._inside(reader) for reader in self.readers.get(node.output[0], ()))

    def _steps(self) -> dict[str, str]:
        """Tensors that get steps; of each the one whose steps it shares, itself if none."""
        found: dict[str, str] = {}
        for node in self.nodes:
            if id(node) not in self.layers:
                continue
            for name in node.input:
                inner = name in self.makers and self.makers[name] in self._inside(node)
                if name and name not in self.constants and not inner and name not in self.links.received:
                    found.setdefault(name, name)
            if not self._is_inside(node) and node.output[0] not in self.links.sent:
                name = node.output[0]
                found[name] = found.get(node.input[0], name) if node.op_type in VIEWS else name
        return found

    # the quantised model

    def model(self, ranges: Ranges) -> onnx.ModelProto:
        """The copy."""
        self.made: list[onnx.NodeProto] = []
        self.added: dict[str, onnx.TensorProto] = {}
        self.scales = {name: float(np.float32(scale)) for name, (_, scale, _) in self.links.inputs.items()}
        self.taken = {n for node in self.nodes for n in (*node.input, *node.output)} | set(self.weights)
        self.names: dict[str, str] = {}
        renamed: dict[str, str] = {}
        for value in self.original.graph.input:
            if value.name in self.steps:
                renamed[value.name] = self._fresh(f"{value.name}.steps")
                self._quantise(value.name, value.name, renamed[value.name], ranges)
        for node in self.nodes:
            if any(name in self.links.inside for name in node.output) and not self._writes_link(node):
                continue
            copy = onnx.NodeProto()
            copy.CopyFrom(node)
            copy.input[:] = [renamed.get(name, name) for name in node.input]
            if self._writes_link(node):
                self._write_link(node)
                continue
            if node.output[0] in self.links.received:
                self._read_link(node)
                continue
            if id(node) in self.layers and node.op_type in LAYERS:
                self._layer(copy, node)
            name = node.output[0]
            if name in self.steps:
                copy.output[0] = self._fresh(f"{name}.real")
                self.made.append(copy)
                self._quantise(name, copy.output[0], name, ranges)
            else:
                self.made.append(copy)
        return self._assembled()

    def _assembled(self) -> onnx.ModelProto:
        model = onnx.ModelProto()
        model.CopyFrom(self.original)
        del model.graph.node[:]
        model.graph.node.extend(self.made)
        used = {name for node in self.made for name in node.input}
        del model.graph.initializer[:]
        model.graph.initializer.extend(t for name, t in self.weights.items() if name in used)
        model.graph.initializer.extend(self.added.values())
        del model.graph.value_info[:]
        onnx.checker.check_model(model, full_check=True)
        return model

    def _fresh(self, name: str) -> str:
        """A name that no tensor of the original has; the same one whenever it is asked for."""
        if name not in self.names:
            fresh = name
            while fresh in self.taken:
                fresh += "_"
            self.taken.add(fresh)
            self.names[name] = fresh
        return self.names[name]

    def _constant(self, name: str, value: NDArray[Any]) -> str:
        name = self._fresh(name)
        self.added.setdefault(name, numpy_helper.from_array(np.require(value, requirements="C"), name))
        return name

    def _put(self, op: str, inputs: list[str], output: str, name: str, **attributes: Any) -> str:
        self.made.append(helper.make_node(op, inputs, [output], name, **attributes))
        return output

    def _quantise(self, name: str, source: str, target: str, ranges: Ranges) -> None:
        """Steps between `source` and `target`, of the range of `name`."""
        low, high = ranges[self.steps[name]]
        if name not in self.makers or id(self.makers[name]) not in self.layers:
            low, high = low * UNEVEN, high * UNEVEN
        scale, zero = affine(low, high)
        self.scales[target] = float(np.float32(scale))
        constants, codes = self._scale_and_zero(name, scale, zero), self._fresh(f"{name}.bytes")
        self._put("QuantizeLinear", [source, *constants], codes, f"{name}.quantise")
        self._put("DequantizeLinear", [codes, *constants], target, f"{name}.dequantise")

    def _scale_and_zero(self, name: str, scale: float, zero: int) -> list[str]:
        return [
            self._constant(f"{name}.scale", np.array(scale, np.float32)),
            self._constant(f"{name}.zero_point", np.array(zero, np.uint8)),
        ]

    def _layer(self, copy: onnx.NodeProto, node: onnx.NodeProto) -> None:
        """Weights in int8, a bias in int32, each behind a DequantizeLinear."""
        name = node.name or node.output[0]
        weight = self.constants[node.input[1]]
        transposed = any(a.name == "transB" and a.i for a in node.attribute)
        axis = 0 if node.op_type == "Conv" or transposed else 1
        others = tuple(i for i in range(weight.ndim) if i != axis)
        largest = np.abs(weight).max(axis=others)
        scales = np.where(largest > 0, largest / 127, 1.0).astype(np.float32)
        shape = [-1 if i == axis else 1 for i in range(weight.ndim)]
        steps = np.clip(np.rint(weight / scales.reshape(shape)), -127, 127).astype(np.int8)
        copy.input[1] = self._dequantised(f"{name}.weight", steps, scales, axis)
        if len(node.input) > 2 and node.input[2] and node.input[2] in self.constants:
            own = scales.astype(np.float64) * self.scales[copy.input[0]]
            bias = np.clip(np.rint(self.constants[node.input[2]].reshape(-1) / own), -(2**30), 2**30)
            if bias.size == scales.size:
                copy.input[2] = self._dequantised(f"{name}.bias", bias.astype(np.int32), own.astype(np.float32), 0)

    def _dequantised(self, name: str, steps: NDArray[Any], scales: NDArray[np.float32], axis: int) -> str:
        inputs = [
            self._constant(f"{name}.steps", steps),
            self._constant(f"{name}.scale", scales),
            self._constant(f"{name}.zero_point", np.zeros(scales.shape, steps.dtype)),
        ]
        return self._put("DequantizeLinear", inputs, self._fresh(f"{name}.real"), f"{name}.dequantise", axis=axis)

    # the link of a searched network, whose steps are its own

    def _writes_link(self, node: onnx.NodeProto) -> bool:
        return node.output[0] in self.links.outputs

    def _write_link(self, node: onnx.NodeProto) -> None:
        name = node.output[0]
        source, scale, zero = self.links.outputs[name]
        self._put("QuantizeLinear", [source, *self._scale_and_zero(name, scale, zero)], name, f"{name}.quantise")

    def _read_link(self, node: onnx.NodeProto) -> None:
        target = node.output[0]
        name, scale, zero = self.links.inputs[target]
        self._put("DequantizeLinear", [name, *self._scale_and_zero(name, scale, zero)], target, f"{name}.dequantise")


class _Links:
    """Bytes at the edge whose steps the model states, and the operators that make them or read them.

    Attributes:
        outputs: of each graph output of bytes the float tensor that it stands for, its scale and zero point.
        inputs: of each float tensor made of a graph input of bytes that input, its scale and zero point.
        inside: tensors between the two, which QuantizeLinear and DequantizeLinear replace.
    """

    def __init__(self) -> None:
        self.outputs: dict[str, tuple[str, float, int]] = {}
        self.inputs: dict[str, tuple[str, float, int]] = {}
        self.inside: set[str] = set()

    @property
    def sent(self) -> set[str]:
        """Float tensors that are sent as bytes."""
        return {source for source, _, _ in self.outputs.values()}

    @property
    def received(self) -> set[str]:
        """Float tensors that are received as bytes."""
        return set(self.inputs)


def _links(
    model: onnx.ModelProto, makers: Mapping[str, onnx.NodeProto], constants: Mapping[str, NDArray[Any]]
) -> _Links:
    found, stated = _Links(), stated_quantisation(model)
    for value in model.graph.output:
        chain = _back(value.name, makers, ("Cast", "Clip", "Round", "Add", "Mul"))
        if value.name in stated and chain:
            found.outputs[value.name] = (chain[-1].input[0], *stated[value.name])
            found.inside |= {node.output[0] for node in chain}
    for value in model.graph.input:
        if value.name not in stated:
            continue
        for node in model.graph.node:
            if node.op_type != "Cast" or node.input[0] != value.name:
                continue
            last = _forward(node, model.graph.node, ("Sub", "Mul"))
            if last is not None:
                found.inputs[last.output[0]] = (value.name, *stated[value.name])
                found.inside |= {node.output[0], last.input[0]}
    return found


def _back(name: str, makers: Mapping[str, onnx.NodeProto], kinds: Sequence[str]) -> list[onnx.NodeProto]:
    """Operators of these kinds, the last first, that end in a tensor; none if there are others."""
    chain: list[onnx.NodeProto] = []
    for kind in kinds:
        node = makers.get(name)
        if node is None or node.op_type != kind:
            return []
        chain.append(node)
        name = node.input[0]
    return chain


def _forward(node: onnx.NodeProto, nodes: Sequence[onnx.NodeProto], kinds: Sequence[str]) -> onnx.NodeProto | None:
    """The last of operators of these kinds that follow one another."""
    for kind in kinds:
        readers = [each for each in nodes if node.output[0] in each.input]
        if len(readers) != 1 or readers[0].op_type != kind or readers[0].input[0] != node.output[0]:
            return None
        node = readers[0]
    return node
