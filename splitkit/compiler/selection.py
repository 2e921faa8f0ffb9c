"""From groups of operators to kernel calls: specifications, channel packing, buffers.

Every four-axis float tensor a schedule writes is packed by a block that is a function of its channel count alone, so a
kernel does not depend on where it stands. Layout kernels appear only at the graph's edges and around operators that
want plain NCHW.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import replace
from math import ceil, prod

import numpy as np

from splitkit.compiler.fallback import lower_fallback
from splitkit.compiler.grouping import Group, channel_ranges, grouped, slice_axis
from splitkit.compiler.kernels import families
from splitkit.compiler.kernels.byte_layout import ByteLayoutSpec
from splitkit.compiler.kernels.elementwise import Step
from splitkit.compiler.kernels.layout import LayoutSpec
from splitkit.compiler.kernels.protocol import KernelSpec
from splitkit.compiler.packing import packed_shape
from splitkit.compiler.pointwise import UNSAFE_ON_ZERO, Chain, elementwise_spec
from splitkit.compiler.program import PLAIN, Buffer, Call, Constant, Part, Program, root
from splitkit.graphs.reading.graph import Array, Graph, Type

BYTES = frozenset({"uint8", "int8"})
"""Dtypes whose images may lie pixel by pixel (`pitch`)."""


def select(graph: Graph, block_for: Callable[[int], int], interior: Set[str] = frozenset()) -> Program:
    """Kernel calls for a simplified graph. `interior` tensors stay in the layout the kernels want.

    Raises:
        ModelError: an operator neither has a schedule nor a default lowering.
    """
    return Selector(graph, block_for, interior).program()


class Selector:
    """Calls and buffers as they come about; the rules of the kernels' families speak to it."""

    def __init__(self, graph: Graph, block_for: Callable[[int], int], interior: Set[str]) -> None:
        self.graph = graph
        self.block_for = block_for
        self.interior = interior
        self.calls: list[Call] = []
        self.buffers: dict[str, Buffer] = {}
        self.found: dict[str, dict[int, str]] = {}  # tensor -> layout -> buffer
        self.fallback: Counter[str] = Counter()
        self.inputs: list[str] = []

    # tensors and layouts

    def type(self, name: str) -> Type:
        return self.graph.types[name]

    def block(self, name: str) -> int:
        """The packing of a four-axis float tensor."""
        return self.block_for(self.type(name).shape[1])

    def packable(self, name: str) -> bool:
        type_ = self.type(name)
        return len(type_.shape) == 4 and type_.dtype == "float32"

    def physical(self, type_: Type, layout: int) -> tuple[int, ...]:
        if layout == PLAIN:
            return type_.shape
        n, c, h, w = type_.shape
        return packed_shape(n, c, (h, w), layout)

    def make(self, name: str, layout: int) -> str:
        """A new buffer for a tensor in a layout."""
        buffer = f"{name}:{layout}" if layout else name
        self.buffers[buffer] = Buffer(buffer, self.physical(self.type(name), layout), self.type(name).dtype)
        self.found.setdefault(name, {})[layout] = buffer
        return buffer

    def view(self, name: str, layout: int, parent: str, offset: int = 0) -> str:
        """A window into another buffer as a tensor in a layout."""
        buffer = self.make(name, layout)
        self.buffers[buffer] = replace(self.buffers[buffer], parent=parent, offset=offset)
        return buffer

    def add_tensor(self, name: str, type_: Type) -> None:
        """A tensor that the graph does not have, between two kernels of one group."""
        self.graph = replace(self.graph, types=dict(self.graph.types) | {name: type_})

    def call(self, spec: KernelSpec, operands: Sequence[str | Constant], origin: str) -> None:
        self.calls.append(Call(spec, tuple(operands), origin))

    def read(self, name: str, layout: int) -> str:
        """The tensor in this layout, converted if it only exists in others."""
        layouts = self.found[name]
        if layout in layouts:
            return layouts[layout]
        source = min(layouts)
        shape = self.type(name).shape
        if len(shape) != 4:
            raise AssertionError(f"tensor {name!r} of shape {shape} asked for in layout {layout}")
        if self._same_bytes(shape, source, layout):
            return self.view(name, layout, layouts[source])
        n, c, h, w = shape
        given = layouts[source]
        target = self.make(name, layout)
        dtype, pair = self.type(name).dtype, (source or 1, layout or 1)
        spec = ByteLayoutSpec(n, c, (h, w), *pair, dtype) if dtype in BYTES else LayoutSpec(n, c, (h, w), *pair)
        self.call(spec, [given, target], name)
        return target

    def _same_bytes(self, shape: tuple[int, ...], source: int, target: int) -> bool:
        """Whether a tensor in layout `source` is, byte for byte, (a prefix of) itself in layout `target`."""
        n, c, h, w = shape
        a, b = source or 1, target or 1
        if a == b:
            return True
        width = (ceil(c / a) * a, ceil(c / b) * b)
        return h == w == 1 and (width[0] == width[1] or (n == 1 and width[1] < width[0]))

    # the walk

    def program(self) -> Program:
        for name in self.graph.inputs:
            layout = self.block(name) if name in self.interior and self.packable(name) else PLAIN
            self.inputs.append(self.make(name, layout))
        moves = {
            "pointwise": self._pointwise,
            "view": self._view,
            "concat": self._concat,
            "slice": self._slice,
            "fallback": self._fallback,
        }
        kernels = families()
        groups, ends = grouped(self.graph), []
        for group in groups:
            if group.kind in moves:
                moves[group.kind](group)
            else:
                kernels[group.kind].select(group, self)
            ends.append(len(self.calls))
        outputs = self._outputs()
        return Program(
            tuple(self.calls), self.buffers, tuple(self.inputs), tuple(outputs), self.graph.outputs,
            dict(self.fallback), parts_of(groups, [*ends[:-1], len(self.calls)], self.graph),
        )  # fmt: skip

    def _outputs(self) -> list[str]:
        """One whole buffer per graph output, none of them an input."""
        taken = set(self.inputs)
        names: list[str] = []
        for name in self.graph.outputs:
            inner = name in self.interior and self.packable(name)
            buffer = self.read(name, self.block(name) if inner else PLAIN)
            owner, offset = root(self.buffers, buffer)
            # One tensor of an inner edge is never copied: whoever reads it reads it where it is.
            if (
                not inner
                and name not in self.interior
                and (owner.name in taken or offset or owner.bytes != self.buffers[buffer].bytes)
            ):
                source, buffer = buffer, f"{name}.copy"
                self.buffers[buffer] = replace(self.buffers[source], name=buffer, parent=None, offset=0)
                self._copy(source, buffer, name)
                owner = self.buffers[buffer]
            taken.add(owner.name)
            names.append(buffer)
        return names

    def _copy(self, source: str, target: str, origin: str) -> None:
        buffer = self.buffers[target]
        count, dtype = prod(buffer.shape), buffer.dtype
        if dtype not in (
            "float32",
            "float16",
            "uint8",
        ):  # others would not survive float32 as numbers, as words they do
            count, dtype = (buffer.bytes // 4, "float32") if buffer.bytes % 4 == 0 else (buffer.bytes, "uint8")
        spec = elementwise_spec((count,), [((count,), dtype)], [Step("copy", ("i0",))], dtype)
        self.call(spec, [source, target], origin)

    # point-wise

    def _pointwise(self, group: Group) -> None:
        chain = Chain(group.nodes, self.graph)
        layout = self._chain_layout(group.output, chain)
        out = self.type(group.output)
        operands: list[str | Constant] = []
        shapes: list[tuple[tuple[int, ...], str]] = []
        for value in chain.operands:
            if isinstance(value, str):
                own = layout if layout and self.type(value).shape[1] != 1 else PLAIN
                buffer = self.read(value, own)
                shape, dtype = self.buffers[buffer].shape, self.type(value).dtype
                shapes.append(((*shape, 1) if layout and own == PLAIN else shape, dtype))
                operands.append(buffer)
            else:
                packed = _packed_constant(value, layout) if layout else value
                shapes.append((packed.shape, "float32"))
                operands.append(Constant(packed, "raw"))
        target = self.make(group.output, layout)
        spec = elementwise_spec(self.physical(out, layout), shapes, chain.steps, out.dtype)
        self.call(spec, [*operands, target], group.nodes[-1].name)

    def _chain_layout(self, output: str, chain: Chain) -> int:
        """Packed if some operand already is and nothing stands against it."""
        if not self.packable(output):
            return PLAIN
        shape, block = self.type(output).shape, self.block(output)
        for name in chain.tensors:
            type_ = self.type(name)
            if (
                not self.packable(name)
                or type_.shape[1] not in (1, shape[1])
                or (type_.shape[1] == 1 and shape[1] != 1 and PLAIN not in self.found[name])
            ):
                return PLAIN
        if shape[1] % block and any(s.op in UNSAFE_ON_ZERO for s in chain.steps):
            return PLAIN
        packed = any(layout not in (PLAIN, 1) for n in chain.tensors for layout in self.found[n])
        return block if packed else PLAIN

    # data movement

    def _view(self, group: Group) -> None:
        source, target = self.type(group.data), self.type(group.output)
        if group.data in self.graph.constants:
            raise AssertionError("constants are folded before selection")
        layouts = self.found[group.data]
        if self.packable(group.data) and self.packable(group.output) and source.shape[2:] == target.shape[2:]:
            # Batch and channels regrouped: the same bytes as long as no block is split or padded.
            for layout in (v for v in layouts if v and source.shape[1] % v == 0 and target.shape[1] % v == 0):
                self.view(group.output, layout, layouts[layout])
                return
        self.view(group.output, PLAIN, self.read(group.data, PLAIN))

    def _concat(self, group: Group) -> None:
        node = group.nodes[0]
        shape = self.type(group.output).shape
        axis = node.attrs["axis"] % len(shape)
        if self.packable(group.output) and axis == 1:
            channels = [self.type(n).shape[1] for n in node.inputs]
            block = self.block(group.output)
            layout = block if all(c % block == 0 for c in channels[:-1]) else 1
            self._concat_channels(group, layout)
            return
        target, offset = self.make(group.output, PLAIN), 0
        for i, name in enumerate(node.inputs):
            piece = self._window(f"{group.output}.piece{i}", target, offset, self.type(name).shape)
            self._copy(self.read(name, PLAIN), piece, node.name)
            offset += self.type(name).bytes

    def _window(self, name: str, parent: str, offset: int, shape: tuple[int, ...]) -> str:
        self.buffers[name] = Buffer(name, shape, self.buffers[parent].dtype, parent, offset)
        return name

    def _concat_channels(self, group: Group, layout: int) -> None:
        """Every piece is converted straight into its place; a piece that is written nowhere else is moved there."""
        node = group.nodes[0]
        target, at = self.make(group.output, layout), 0
        batch, _, h, w = self.type(group.output).shape
        row = self.buffers[target].bytes // batch
        for i, name in enumerate(node.inputs):
            channels = self.type(name).shape[1]
            shape = packed_shape(1, channels, (h, w), layout)
            if batch == 1 and self._movable(name, layout) and node.inputs.count(name) == 1:
                buffer = self.found[name][layout]
                self.buffers[buffer] = replace(self.buffers[buffer], parent=target, offset=at)
            else:
                given = min(self.found[name], key=lambda v: (v != layout, v))
                source = self.found[name][given]
                source_row = self.buffers[source].bytes // batch
                for b in range(batch):
                    piece = self._window(f"{group.output}.piece{i}.{b}", target, b * row + at, shape)
                    part = source
                    if batch > 1:
                        part = self._window(
                            f"{piece}.source",
                            source,
                            b * source_row,
                            self.physical(Type((1, channels, h, w), ""), given),
                        )
                    self._move(part, piece, LayoutSpec(1, channels, (h, w), given or 1, layout), node.name)
            at += prod(shape) * 4

    def _move(self, source: str, target: str, spec: LayoutSpec, origin: str) -> None:
        if spec.in_block == spec.out_block:
            self._copy(source, target, origin)
        else:
            self.call(spec, [source, target], origin)

    def _movable(self, name: str, layout: int) -> bool:
        """Whether a tensor's buffer may become a window: exact, with memory of its own, not the caller's."""
        buffer = self.found[name].get(layout)
        if buffer is None or self.type(name).shape[1] % layout or name in self.graph.outputs:
            return False
        own = name in self.graph.inputs and name not in self.interior
        return not own and self.buffers[buffer].parent is None

    def _slice(self, group: Group) -> None:
        """Windows where the range is contiguous and starts on a block, else windows of the plain tensor."""
        node = group.nodes[0]
        shape = self.type(group.data).shape
        ranges, axis = channel_ranges(node, self.graph), slice_axis(node, self.graph)
        layout = PLAIN
        if self.packable(group.data) and axis == 1:
            block = max(self.found[group.data])
            if block and all(a % block == 0 and (b % block == 0 or b == shape[1]) for a, b in ranges):
                layout = block
        source = self.read(group.data, layout)
        item = np.dtype(self.type(group.data).dtype).itemsize
        inner = prod(shape[axis + 1 :]) * item
        for (start, _), name in zip(ranges, node.outputs, strict=True):
            self.view(name, layout, source, start * inner)

    def _fallback(self, group: Group) -> None:
        for node in group.nodes:
            self.fallback[node.op] += 1
        lowered = lower_fallback(self.graph, group.nodes)
        names = {tensor: self.read(tensor, PLAIN) for tensor in lowered.inputs}
        for tensor in lowered.outputs:
            names[tensor] = self.make(tensor, PLAIN)
        for step in lowered.steps:
            for inner in step.operands:
                if isinstance(inner, str) and inner not in names:
                    names[inner] = f"{group.output}/{inner}"
                    type_ = lowered.inner[inner]
                    self.buffers[names[inner]] = Buffer(names[inner], type_.shape, type_.dtype)
            operands = [names[o] if isinstance(o, str) else Constant(o, "raw") for o in step.operands]
            self.call(step.spec, operands, group.nodes[0].name)
        for output, source in lowered.copies.items():
            self._copy(names[source], names[output], group.nodes[0].name)


def parts_of(groups: Sequence[Group], ends: Sequence[int], graph: Graph) -> tuple[Part, ...]:
    """Each group, whose calls end before `ends`, with the tensors that it has in common with others."""
    inside = [{name for node in group.nodes for name in node.outputs} for group in groups]
    reads = [
        [name for name in _read_by(group) if name and name not in own | graph.constants.keys()]
        for group, own in zip(groups, inside, strict=True)
    ]
    wanted = {name for names in reads for name in names} | set(graph.outputs)
    return tuple(
        Part(tuple(dict.fromkeys(names)), tuple(sorted(own & wanted)), range(start, end))
        for names, own, start, end in zip(reads, inside, [0, *ends[:-1]], ends, strict=True)
    )


def _read_by(group: Group) -> Iterator[str | None]:
    """What a group's operators read; the product with a squeeze-excite operand is the convolution's own."""
    for i, node in enumerate(group.nodes):
        scaled = i == 0 and group.scale is not None
        yield from (group.data, group.scale, *node.inputs[1:]) if scaled else node.inputs


def _packed_constant(value: Array, block: int) -> Array:
    """A constant that broadcasts to NCHW as one that broadcasts to the packed layout; padded with ones."""
    shape = (1,) * (4 - value.ndim) + value.shape
    n, c, h, w = shape
    value = value.reshape(shape)
    if c == 1:
        return value.reshape(n, 1, h, w, 1)
    blocks = ceil(c / block)
    padded = np.ones((n, blocks * block, h, w), np.float32)
    padded[:, :c] = value
    return np.ascontiguousarray(padded.reshape(n, blocks, block, h, w).transpose(0, 1, 3, 4, 2))
