"""Which operators run together: a layer with its epilogue, a chain of point-wise operators, a run without schedules."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from splitkit.compiler.activations import activation_of
from splitkit.compiler.epilogue import Epilogue
from splitkit.compiler.pointwise import MAX_OPERANDS, is_pointwise
from splitkit.graphs.reading.graph import Array, Graph, Node

VIEWS = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze"})
"""Operators that only rename the axes of a plain tensor."""


@dataclass(frozen=True)
class Group:
    """Operators that become one kernel (or none, or a few).

    `kind` is that of the kernels' family, or pointwise, view, concat, slice or fallback. `scale` is the
    squeeze-excite operand of a convolution whose input is `data`; `residual` what its epilogue adds.
    """

    kind: str
    nodes: tuple[Node, ...]
    output: str
    data: str = ""
    scale: str | None = None
    residual: str | None = None
    epilogue: Epilogue = field(default_factory=Epilogue)


def grouped(graph: Graph) -> list[Group]:
    """Groups in an order in which every tensor is written before it is read."""
    return _Grouping(graph).groups()


class _Grouping:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.consumers = graph.consumers()
        self.producers = graph.producers()
        self.claimed: set[str] = set()  # outputs of nodes that run inside another node's group
        self.emitted: dict[str, Group] = {}  # the last output of a group -> the group
        self.scales: dict[str, tuple[str, str]] = {}

    def groups(self) -> list[Group]:
        for node in self.graph.nodes:
            if node.op == "Mul":
                self._squeeze_excite(node)
        for node in self.graph.nodes:
            if node.output not in self.claimed and node.op in ("Conv", "Linear") and self.layer_kind(node):
                self._layer(node, self.layer_kind(node))
        for node in self.graph.nodes:
            if node.op == "Resize" and resize_coordinates(node) and _bilinear(node, self.graph):
                self._resize(node)
        for node in reversed(self.graph.nodes):
            if self._free(node) and is_pointwise(node, self.graph):
                self._chain(node)
        found: list[Group] = []
        run: list[Node] = []
        for node in self.graph.nodes:
            group = self.emitted.get(node.output)
            if node.output in self.claimed and group is None:
                continue
            kind = "" if group else self._simple_kind(node)
            if group is None and not kind:
                if run and not {o for n in run for o in n.outputs}.intersection(node.inputs):
                    found.append(_fallback(run))
                    run = []
                run.append(node)
                continue
            if run:
                found.append(_fallback(run))
                run = []
            found.append(group or Group(kind, (node,), node.output, data=node.inputs[0]))
        return [*found, _fallback(run)] if run else found

    def _free(self, node: Node) -> bool:
        return node.output not in self.claimed and node.output not in self.emitted

    def _next(self, name: str) -> Node | None:
        """The only reader of a tensor that nothing outside the group may see."""
        readers = self.consumers.get(name, [])
        if name in self.graph.outputs or len(readers) != 1 or not self._free(readers[0]):
            return None
        return readers[0]

    def layer_kind(self, node: Node) -> str:
        """conv or linear if the schedules cover this layer, else empty."""
        types, constants = self.graph.types, self.graph.constants
        if any(n and n not in constants for n in node.inputs[1:]) or types[node.inputs[0]].dtype != "float32":
            return ""
        if node.op == "Linear":
            return "linear"
        return "conv" if len(types[node.output].shape) == 4 else ""

    def _squeeze_excite(self, node: Node) -> None:
        """x * s with one s per channel, read by one 1x1 convolution, is done inside that convolution."""
        types = self.graph.types
        conv = self._next(node.output)
        if conv is None or conv.op != "Conv" or self.layer_kind(conv) != "conv" or conv.inputs[0] != node.output:
            return
        shape = types[node.output].shape
        weight = self.graph.constants[conv.inputs[1]]
        if weight.shape[2:] != (1, 1) or conv.attrs.get("group", 1) != 1 or shape[2:] == (1, 1):
            return
        for x, s in (node.inputs, node.inputs[::-1]):
            if types[x].shape == shape and types[s].shape == (*shape[:2], 1, 1) and s not in self.graph.constants:
                self.scales[node.output] = (x, s)
                self.claimed.add(node.output)
                return

    def _layer(self, node: Node, kind: str) -> None:
        nodes, last = [node], node.output
        activation = residual_activation = None
        residual: str | None = None
        end = node  # the group runs where its last *needed* operand is ready
        while (reader := self._next(last)) is not None:
            act = activation_of(reader, self.graph.constants)
            if act is not None and residual is None and activation is None:
                activation = act
            elif act is not None and residual is not None and residual_activation is None:
                residual_activation = act
            elif (
                kind == "conv"
                and residual is None
                and (other := self._residual(reader, last))
                and not self._is_linear(node)
            ):
                residual, end = other, reader
            else:
                break
            nodes.append(reader)
            last = reader.output
        bias = len(node.inputs) > 2 and bool(node.inputs[2])
        data, scale = self.scales.get(node.inputs[0], (node.inputs[0], None))
        epilogue = Epilogue(bias, activation, residual is not None, residual_activation)
        self.claimed.update(n.output for n in nodes)
        self.emitted[end.output] = Group(kind, tuple(nodes), last, data, scale, residual, epilogue)

    def _is_linear(self, conv: Node) -> bool:
        return self.graph.types[conv.output].shape[2:] == (1, 1)

    def _residual(self, node: Node, name: str) -> str | None:
        if node.op != "Add" or node.inputs[0] == node.inputs[1]:
            return None
        other = node.inputs[1] if node.inputs[0] == name else node.inputs[0]
        types = self.graph.types
        return other if types[other] == types[name] and other not in self.graph.constants else None

    def _resize(self, node: Node) -> None:
        """A resize with the cast of bytes before it, and what multiplies or shifts all its values after it."""
        nodes, data, last = [node], node.inputs[0], node.output
        cast = self.producers.get(data)
        only_reader = cast is not None and cast.op == "Cast" and self._free(cast) and self._next(data) is node
        if cast is not None and only_reader and self.graph.types[cast.inputs[0]].dtype == "uint8":
            nodes, data = [cast, node], cast.inputs[0]
        while (reader := self._next(last)) and affine([reader], self.graph.constants) != (1.0, 0.0):
            nodes.append(reader)
            last = reader.output
        self.claimed.update(n.output for n in nodes)
        self.emitted[node.output] = Group("resize", tuple(nodes), last, data)

    def _chain(self, root: Node) -> None:
        """`root` and the point-wise operators that only it reads, as long as the operands stay few."""
        shape = self.graph.types[root.output].shape
        group = [root]
        operands = {n for n in root.inputs if n}
        grown = True
        while grown:
            grown = False
            for name in sorted(operands):
                made = self.producers.get(name)
                if made is None or not self._free(made) or not is_pointwise(made, self.graph):
                    continue
                inside = {n.output for n in group}
                alone = name not in self.graph.outputs and all(c.output in inside for c in self.consumers[name])
                joined = (operands - {name}) | {n for n in made.inputs if n}
                activations = [n for n in joined if n not in self.graph.constants]
                if alone and self.graph.types[name].shape == shape and len(activations) <= MAX_OPERANDS:
                    group.append(made)
                    operands, grown = joined, True
                    break
        order = {n.output: i for i, n in enumerate(self.graph.nodes)}
        group.sort(key=lambda n: order[n.output])
        self.claimed.update(n.output for n in group)
        self.emitted[root.output] = Group("pointwise", tuple(group), root.output)

    def _simple_kind(self, node: Node) -> str:
        """Kinds of one operator. What a kind cannot do after all, the selection hands to the fallback."""
        from splitkit.compiler.kernels import families  # whose rules read groups

        for kind, family in families().items():
            if family.takes(node, self.graph):
                return kind
        if node.op in VIEWS:
            return "view"
        if node.op == "Concat":
            return "concat" if _concatenable(node, self.graph) else ""
        if node.op in ("Slice", "Split"):
            return "slice" if channel_ranges(node, self.graph) else ""
        return ""


def _fallback(run: list[Node]) -> Group:
    return Group("fallback", tuple(run), run[-1].output)


def resize_coordinates(node: Node) -> str:
    """ONNX's name of a Resize's way of counting pixels if it is bilinear and has a schedule, else empty."""
    attrs = node.attrs
    plain = attrs.get("mode", b"nearest") == b"linear" and not attrs.get("antialias", 0)
    name = bytes(attrs.get("coordinate_transformation_mode", b"half_pixel")).decode()
    return name if plain and name in ("half_pixel", "align_corners", "asymmetric") else ""


def _bilinear(node: Node, graph: Graph) -> bool:
    """Of height and width of float images only, to a size that is the scales' product exactly."""
    source, target = graph.types[node.inputs[0]], graph.types[node.output]
    inputs = dict(zip(("x", "roi", "scales", "sizes"), node.inputs, strict=False))
    if len(source.shape) != 4 or source.dtype != "float32" or source.shape[:2] != target.shape[:2]:
        return False
    if node.attrs.get("axes") or node.attrs.get("keep_aspect_ratio_policy", b"stretch") != b"stretch":
        return False
    scales = graph.constants.get(inputs.get("scales", ""))
    if scales is None or not scales.size:
        return inputs.get("sizes", "") in graph.constants
    return all(float(s) * a == b for s, a, b in zip(scales.reshape(-1), source.shape, target.shape, strict=True))


def affine(nodes: Sequence[Node], constants: Mapping[str, Array]) -> tuple[float, float]:
    """Scale and shift of a chain of operators with single constants; (1, 0) if one of them is something else."""
    scale, shift = 1.0, 0.0
    for node in nodes:
        values = [constants[n] for n in node.inputs if n in constants]
        if node.op not in ("Mul", "Add") or len(values) != 1 or values[0].size != 1:
            return 1.0, 0.0
        value = float(values[0].reshape(-1)[0])
        scale, shift = (scale * value, shift * value) if node.op == "Mul" else (scale, shift + value)
    return scale, shift


def reduce_axes(node: Node, constants: Mapping[str, Array]) -> list[int]:
    """Axes of a reduction; empty if all are meant."""
    return [int(a) for a in constants[node.inputs[1]].reshape(-1)] if len(node.inputs) > 1 else []


def _concatenable(node: Node, graph: Graph) -> bool:
    """Pieces that are contiguous in the result, or channels of images."""
    shape = graph.types[node.output].shape
    axis = node.attrs["axis"] % len(shape)
    if any(n in graph.constants for n in node.inputs):
        return False
    if all(d == 1 for d in shape[:axis]):
        return True
    return len(shape) == 4 and axis == 1 and graph.types[node.output].dtype == "float32"


def channel_ranges(node: Node, graph: Graph) -> list[tuple[int, int]]:
    """[start, stop) of each output of a Slice or Split along the axis before which all extents are 1; else empty."""
    shape = graph.types[node.inputs[0]].shape
    constants = graph.constants
    if node.op == "Split":
        axis = node.attrs.get("axis", 0) % len(shape)
        sizes = [graph.types[o].shape[axis] for o in node.outputs]
        starts = [sum(sizes[:i]) for i in range(len(sizes))]
        ranges = [(s, s + n) for s, n in zip(starts, sizes, strict=True)]
    else:
        if any(n and n not in constants for n in node.inputs[1:]) or len(node.inputs) < 3:
            return []
        start, stop = (constants[n].reshape(-1) for n in node.inputs[1:3])
        axes = constants[node.inputs[3]].reshape(-1) if len(node.inputs) > 3 and node.inputs[3] else range(len(start))
        steps = constants[node.inputs[4]].reshape(-1) if len(node.inputs) > 4 and node.inputs[4] else [1]
        if len(start) != 1 or steps[0] != 1:
            return []
        axis = int(next(iter(axes))) % len(shape)
        a, b, _ = slice(int(start[0]), int(stop[0])).indices(shape[axis])
        ranges = [(a, b)]
    return ranges if all(d == 1 for d in shape[:axis]) else []


def slice_axis(node: Node, graph: Graph) -> int:
    """The axis a Slice or Split accepted by `channel_ranges` works on."""
    shape, out = graph.types[node.inputs[0]].shape, graph.types[node.output].shape
    return next((i for i, (a, b) in enumerate(zip(shape, out, strict=True)) if a != b), 0)
