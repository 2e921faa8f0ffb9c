"""Rewrites that leave fewer operators: batch norm into convolutions, activations recognised from their parts.

One forward pass; every rewrite looks at a node and at the already rewritten producers of its inputs.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from splitkit.graphs.reading.graph import Array, Graph, Node


class _Rewriter:
    """The nodes rewritten so far, and who made what."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.constants: dict[str, Array] = dict(graph.constants)
        self.made: dict[str, Node] = {}
        self.uses = Counter(n for node in graph.nodes for n in node.inputs)
        self.uses.update(graph.outputs)

    def constant(self, name: str) -> Array | None:
        return self.constants.get(name)

    def only(self, name: str, op: str | None = None) -> Node | None:
        """The producer of `name` if nobody else reads it (and, optionally, if it is an `op`)."""
        node = self.made.get(name)
        if node is None or self.uses[name] != 1 or len(node.outputs) != 1 or (op and node.op != op):
            return None
        return node

    def add_constant(self, name: str, value: Array) -> str:
        while name in self.constants:
            name += "_"
        self.constants[name] = np.ascontiguousarray(value)
        return name


def simplify(graph: Graph) -> Graph:
    """The same function of fewer operators. Adds the operators `Swish` (x sigmoid(x)) and `Linear` (x W^T + b)."""
    state = _Rewriter(graph)
    for node in graph.nodes:
        for rule in _RULES.get(node.op, ()):
            rewritten = rule(state, node)
            if rewritten is not None:
                node = rewritten
                break
        for out in node.outputs:
            state.made[out] = node
    order: dict[int, Node] = {id(n): n for n in (state.made[o] for node in graph.nodes for o in node.outputs)}
    return graph.with_nodes(list(order.values()), state.constants)


def _per_channel(value: Array, channels: int, rank: int, axis: int) -> Array | None:
    """A constant that varies along `axis` only, as a vector of `channels` values."""
    if value.size == 1:
        return np.full(channels, value.reshape(-1)[0], value.dtype)
    shape = (1,) * (rank - value.ndim) + value.shape
    if len(shape) != rank or any(d != 1 for i, d in enumerate(shape) if i != axis) or shape[axis] != channels:
        return None
    return value.reshape(-1)


def _scaled(state: _Rewriter, layer: Node, scale: Array | None, shift: Array | None, output: str) -> Node:
    """`layer` (Conv or Linear) followed by a per-output-channel scale and shift."""
    weight = state.constants[layer.inputs[1]]
    bias = state.constants[layer.inputs[2]] if len(layer.inputs) > 2 and layer.inputs[2] else None
    total = np.zeros(weight.shape[0], np.float32) if bias is None else bias
    names = [layer.inputs[0], layer.inputs[1], ""]
    if scale is not None:
        folded = weight * scale.reshape(-1, *[1] * (weight.ndim - 1))
        names[1] = state.add_constant(f"{layer.inputs[1]}.folded", folded.astype(np.float32))
        total = total * scale
    if shift is not None:
        total = total + shift
    names[2] = state.add_constant(f"{output}.bias", total.astype(np.float32))
    return replace(layer, inputs=tuple(names), outputs=(output,))


def _foldable(state: _Rewriter, name: str) -> Node | None:
    layer = state.only(name)
    if layer is None or layer.op not in ("Conv", "Linear") or layer.inputs[1] not in state.constants:
        return None
    if len(layer.inputs) > 2 and layer.inputs[2] and layer.inputs[2] not in state.constants:
        return None
    return layer


def _batch_norm(state: _Rewriter, node: Node) -> Node | None:
    params = [state.constant(n) for n in node.inputs[1:5]]
    if len(node.outputs) != 1 or node.attrs.get("training_mode", 0) or any(p is None for p in params):
        return None
    gamma, beta, mean, var = (np.asarray(p, np.float64) for p in params)
    scale = gamma / np.sqrt(var + node.attrs.get("epsilon", 1e-5))
    shift = beta - mean * scale
    layer = _foldable(state, node.inputs[0])
    if layer is not None and layer.op == "Conv":
        return _scaled(state, layer, scale, shift, node.output)
    rank = len(state.graph.types[node.inputs[0]].shape)
    shape = (1, -1) + (1,) * (rank - 2)
    scaled = f"{node.output}.scaled"
    names = (
        state.add_constant(f"{node.output}.scale", scale.astype(np.float32).reshape(shape)),
        state.add_constant(f"{node.output}.shift", shift.astype(np.float32).reshape(shape)),
    )
    # Two point-wise operators would need a type for the tensor between them; one operator of three operands does not.
    return Node("MulAdd", node.name or scaled, (node.inputs[0], *names), node.outputs)


def _affine(state: _Rewriter, node: Node) -> Node | None:
    """Add, Sub, Mul or Div by a per-channel constant right after a layer."""
    left, right = node.inputs
    if node.op in ("Add", "Mul") and state.constant(left) is not None:
        left, right = right, left
    value, layer = state.constant(right), _foldable(state, left)
    types = state.graph.types
    if value is None or layer is None or types[left].shape != types[node.output].shape:
        return None
    if node.op in ("Mul", "Div") and value.size == 1:
        return None  # most likely a quantisation step: folded into weights it would move values across the rounding
    shape = types[left].shape
    axis = 1 if layer.op == "Conv" else len(shape) - 1
    vector = _per_channel(value.astype(np.float64), shape[axis], len(shape), axis)
    if vector is None:
        return None
    if node.op in ("Add", "Sub"):
        return _scaled(state, layer, None, vector if node.op == "Add" else -vector, node.output)
    return _scaled(state, layer, vector if node.op == "Mul" else 1 / vector, None, node.output)


def _gated(state: _Rewriter, node: Node) -> Node | None:
    """x * sigmoid(x) and x * hard_sigmoid(x)."""
    for x, gate in (node.inputs, node.inputs[::-1]):
        made = state.only(gate)
        if made is None or made.inputs[0] != x:
            continue
        if made.op == "Sigmoid":
            return Node("Swish", node.name, (x,), node.outputs)
        if (
            made.op == "HardSigmoid"
            and _close(made.attrs.get("alpha", 0.2), 1 / 6)
            and _close(made.attrs.get("beta", 0.5), 0.5)
        ):
            return Node("HardSwish", node.name, (x,), node.outputs)
    return None


def _hard_gate(state: _Rewriter, node: Node) -> Node | None:
    """relu6(x + 3) / 6 is a hard sigmoid."""
    value = state.constant(node.inputs[1])
    wanted = 6.0 if node.op == "Div" else 1 / 6
    clip = state.only(node.inputs[0], "Clip")
    if value is None or value.size != 1 or not _close(float(value.reshape(-1)[0]), wanted) or clip is None:
        return None
    if clip_bounds(clip, state.constants) != (0.0, 6.0):
        return None
    add = state.only(clip.inputs[0], "Add")
    three = state.constant(add.inputs[1]) if add is not None else None
    if add is None or three is None or three.size != 1 or float(three.reshape(-1)[0]) != 3.0:
        return None
    return Node("HardSigmoid", node.name, (add.inputs[0],), node.outputs, {"alpha": 1 / 6, "beta": 0.5})


def _close(a: float, b: float) -> bool:
    return abs(a - b) < 1e-6


def clip_bounds(node: Node, constants: Mapping[str, Array]) -> tuple[float, float] | None:
    """Bounds of a Clip, infinities where it has none; None if they are not constant."""
    bounds = [-np.inf, np.inf]
    for i, name in enumerate(node.inputs[1:3]):
        if name:
            value = constants.get(name)
            if value is None:
                return None
            bounds[i] = value.reshape(-1)[0]
    return float(bounds[0]), float(bounds[1])


def _matmul(state: _Rewriter, node: Node) -> Node | None:
    weight = state.constant(node.inputs[1])
    if weight is None or weight.ndim != 2 or weight.dtype != np.float32:
        return None
    if len(state.graph.types[node.inputs[0]].shape) < 2:
        return None
    name = state.add_constant(f"{node.inputs[1]}.transposed", weight.T)
    return Node("Linear", node.name, (node.inputs[0], name), node.outputs)


def _gemm(state: _Rewriter, node: Node) -> Node | None:
    weight = state.constant(node.inputs[1])
    bias = state.constant(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] else np.zeros(1, np.float32)
    if weight is None or bias is None or node.attrs.get("transA", 0) or weight.dtype != np.float32:
        return None
    weight = weight if node.attrs.get("transB", 0) else weight.T
    vector = _per_channel(bias, weight.shape[0], 2, 1)
    if vector is None:
        return None
    names = (
        state.add_constant(f"{node.output}.weight", weight * np.float32(node.attrs.get("alpha", 1.0))),
        state.add_constant(f"{node.output}.bias", vector * np.float32(node.attrs.get("beta", 1.0))),
    )
    return Node("Linear", node.name, (node.inputs[0], *names), node.outputs)


def _pad_into_conv(state: _Rewriter, node: Node) -> Node | None:
    pad = state.only(node.inputs[0], "Pad")
    if pad is None or pad.attrs.get("mode", b"constant") != b"constant":
        return None
    amounts = state.constant(pad.inputs[1])
    fill = state.constant(pad.inputs[2]) if len(pad.inputs) > 2 and pad.inputs[2] else np.zeros(1)
    if amounts is None or fill is None or fill.reshape(-1)[0] != 0:
        return None
    pads = amounts.tolist()
    if len(pads) != 8 or any(pads[i] for i in (0, 1, 4, 5)):
        return None
    own = node.attrs.get("pads", [0] * 4)
    total = [a + b for a, b in zip(own, [pads[i] for i in (2, 3, 6, 7)], strict=True)]
    return replace(node, inputs=(pad.inputs[0], *node.inputs[1:]), attrs=dict(node.attrs) | {"pads": total})


_Rule = Callable[[_Rewriter, Node], Node | None]
_RULES: dict[str, tuple[_Rule, ...]] = {
    "BatchNormalization": (_batch_norm,),
    "Add": (_affine,),
    "Sub": (_affine,),
    "Mul": (_affine, _gated, _hard_gate),
    "Div": (_affine, _hard_gate),
    "MatMul": (_matmul,),
    "Gemm": (_gemm,),
    "Conv": (_pad_into_conv,),
}
