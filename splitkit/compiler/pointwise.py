"""Chains of point-wise ONNX operators as one element-wise kernel."""

from collections.abc import Mapping, Sequence
from math import isfinite, prod

import numpy as np

from splitkit.compiler.activations import activation_of
from splitkit.compiler.epilogue import Activation
from splitkit.compiler.kernels.elementwise import ElementwiseSpec, Operand, Step
from splitkit.compiler.simplify import clip_bounds
from splitkit.graphs.reading.graph import Array, Graph, Node

MAX_OPERANDS = 6
"""Tensors one kernel may read; more would spill registers and gain nothing."""

_UNARY = {
    "Neg": "neg", "Abs": "abs", "Exp": "exp", "Log": "log", "Sqrt": "sqrt", "Reciprocal": "reciprocal",
    "Floor": "floor", "Ceil": "ceil", "Round": "round", "Erf": "erf", "Identity": "copy",
}  # fmt: skip
_BINARY = {"Add": "add", "Sub": "sub", "Mul": "mul", "Div": "div", "Pow": "pow"}
_NARY = {"Max": "max", "Min": "min", "Sum": "add"}
_FLOATS = frozenset({"float32", "float16"})
_STORED = _FLOATS | {"uint8", "int8", "int32"}
UNSAFE_ON_ZERO = frozenset({"div", "log", "reciprocal", "sqrt", "pow"})
"""Steps that may not be finite on the zeros of padded channels."""


def is_pointwise(node: Node, graph: Graph) -> bool:
    """Whether an element-wise kernel can compute this node."""
    types, constants = graph.types, graph.constants
    if len(node.outputs) != 1:
        return False
    dtypes = {types[n].dtype for n in node.inputs if n and n not in constants} | {types[node.output].dtype}
    if prod(types[node.output].shape) == 0 or not dtypes <= _STORED:
        return False
    if node.op in ("QuantizeLinear", "DequantizeLinear"):
        return all(n in constants for n in node.inputs[1:] if n) and _axis_ok(node, graph)
    if node.op == "Cast":
        return not (types[node.inputs[0]].dtype == "int32" and types[node.output].dtype not in _FLOATS)
    if node.op == "Identity":
        return "int32" not in dtypes  # all is computed in float32, which does not hold every int32
    if not dtypes <= _FLOATS:
        return False
    if node.op == "Clip":
        return clip_bounds(node, constants) is not None
    return (
        node.op in _UNARY
        or node.op in _BINARY
        or node.op in _NARY
        or node.op == "MulAdd"
        or _is_activation(node, graph)
    )


def _is_activation(node: Node, graph: Graph) -> bool:
    return activation_of(node, graph.constants) is not None


def _axis_ok(node: Node, graph: Graph) -> bool:
    """Per-tensor, or per-channel along axis 1 with a tensor of rank 2 or more."""
    scale = graph.constants[node.inputs[1]]
    return scale.size == 1 or (scale.ndim == 1 and node.attrs.get("block_size", 0) == 0)


class Chain:
    """Steps of a group of nodes, and the operands they read: tensor names or constants in ONNX shape."""

    def __init__(self, nodes: Sequence[Node], graph: Graph) -> None:
        self.graph = graph
        self.steps: list[Step] = []
        self.operands: list[str | Array] = []
        self._where: dict[str, str] = {}
        self.output = nodes[-1].output
        for node in nodes:
            self._where[node.output] = self._node(node)
        if not self.steps or self._where[self.output] != f"s{len(self.steps) - 1}":
            self._step("copy", self._where[self.output])

    @property
    def tensors(self) -> list[str]:
        """The operands that are activations."""
        return [o for o in self.operands if isinstance(o, str)]

    def _step(self, op: str, *args: str, text: str = "") -> str:
        self.steps.append(Step(op, args, text))
        return f"s{len(self.steps) - 1}"

    def _read(self, name: str) -> str:
        if name not in self._where:
            value = self.graph.constants.get(name)
            self._where[name] = self._constant(value) if value is not None else self._operand(name)
        return self._where[name]

    def _operand(self, value: str | Array) -> str:
        self.operands.append(value)
        return f"i{len(self.operands) - 1}"

    def _constant(self, value: Array) -> str:
        if value.size == 1:
            return repr(float(value.reshape(-1)[0]))
        return self._operand(np.ascontiguousarray(value, np.float32))

    def _node(self, node: Node) -> str:
        constants = self.graph.constants
        activation = activation_of(node, constants)
        if activation is not None:
            return self._step(activation.kind, self._read(node.inputs[0]), *_numbers(activation))
        if node.op in ("QuantizeLinear", "DequantizeLinear"):
            return self._quantisation(node)
        if node.op == "Clip":
            low, high = clip_bounds(node, constants) or (-np.inf, np.inf)
            value = self._read(node.inputs[0])
            value = self._step("max", value, repr(low)) if isfinite(low) else value
            return self._step("min", value, repr(high)) if isfinite(high) else value
        args = [self._read(n) for n in node.inputs if n]
        if node.op == "Cast":
            return self._step("cast", args[0], text=self.graph.types[node.output].dtype)
        if node.op == "MulAdd":
            return self._step("add", self._step("mul", args[0], args[1]), args[2])
        if node.op in _UNARY:
            return self._step(_UNARY[node.op], args[0])
        value = args[0]
        for arg in args[1:]:
            value = self._step(_BINARY.get(node.op) or _NARY[node.op], value, arg)
        return value

    def _quantisation(self, node: Node) -> str:
        graph, constants = self.graph, self.graph.constants
        rank, dtype = len(graph.types[node.output].shape), graph.types[node.output].dtype
        axis = node.attrs.get("axis", 1) % rank

        def spread(name: str) -> str:
            value = constants[name].astype(np.float32)
            return self._constant(
                value if value.size == 1 else value.reshape([-1 if i == axis else 1 for i in range(rank)])
            )

        x, scale = self._read(node.inputs[0]), spread(node.inputs[1])
        zero = spread(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] else "0.0"
        if node.op == "DequantizeLinear":
            return self._step("mul", self._step("sub", x, zero) if zero != "0.0" else x, scale)
        info = np.iinfo(dtype)
        rounded = self._step("round", self._step("div", x, scale))
        shifted = self._step("add", rounded, zero) if zero != "0.0" else rounded
        clipped = self._step("clip", shifted, repr(float(info.min)), repr(float(info.max)))
        return self._step("cast", clipped, text=dtype)


def _numbers(activation: Activation) -> tuple[str, ...]:
    values: Mapping[str, tuple[float, ...]] = {
        "clip": (activation.low, activation.high),
        "hard_sigmoid": (activation.alpha, activation.beta),
        "leaky_relu": (activation.alpha,),
    }
    return tuple(repr(v) for v in values.get(activation.kind, ()))


def elementwise_spec(
    shape: tuple[int, ...], operands: Sequence[tuple[tuple[int, ...], str]], steps: Sequence[Step], dtype: str
) -> ElementwiseSpec:
    """The specification over physical shapes: neighbouring axes along which every operand behaves alike are merged.

    `operands` are (shape, dtype) pairs that broadcast to `shape` by numpy's rules.
    """
    padded = [((1,) * (len(shape) - len(s)) + s, d) for s, d in operands]
    extents: list[int] = []
    patterns: list[tuple[bool, ...]] = []
    for i, extent in enumerate(shape):
        if extent == 1:
            continue
        pattern = tuple(s[i] != 1 for s, _ in padded)
        if patterns and patterns[-1] == pattern:
            extents[-1] *= extent
        else:
            extents.append(extent)
            patterns.append(pattern)
    if not extents:
        extents, patterns = [1], [(True,) * len(padded)]
    inputs = tuple(Operand(d, tuple(p[k] for p in patterns)) for k, (_, d) in enumerate(padded))
    return ElementwiseSpec(tuple(extents), inputs, tuple(steps), dtype)
