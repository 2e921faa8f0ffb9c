"""Pooling on packed tensors, channel block by channel block; borders are clipped as in a depthwise convolution."""

from dataclasses import dataclass, field
from math import ceil, prod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from tvm import tirx

from splitkit.compiler.attributes import pair, quad
from splitkit.compiler.codegen.borders import column_runs, inside, kernel_rows, reached
from splitkit.compiler.codegen.code import Code, Expr, Operand, Register, splat
from splitkit.compiler.codegen.parallel import UNEVEN, Whole, balance, shared, threads_for
from splitkit.compiler.codegen.tiling import Run, balanced
from splitkit.compiler.grouping import reduce_axes
from splitkit.compiler.kernels import wording
from splitkit.compiler.kernels.protocol import SHORT, UNSAID, KernelFunction, KernelSpec, Physical
from splitkit.compiler.machine import Machine
from splitkit.compiler.packing import packed_shape
from splitkit.compiler.program import PLAIN, Constant
from splitkit.graphs.reading.graph import Type

if TYPE_CHECKING:
    from splitkit.compiler.grouping import Group
    from splitkit.compiler.selection import Selector
    from splitkit.graphs.reading.graph import Graph, Node

LOWEST = -3.4028234663852886e38
"""What max pooling starts from: the most negative float32."""
PARTIAL_SUMS = 8
"""Independent sums of a global pool, which hide the latency of an addition."""


@dataclass(frozen=True)
class PoolSpec(KernelSpec):
    """Pooling on a packed tensor. `mode`: max, avg (`count_include_pad` as ONNX says) or global_avg.

    Operands: input, output. A global pool writes (batch, ceil(C/v) * v) values, which for packed channels is the
    plain channel order.
    """

    kind: ClassVar[str] = "pool"
    mode: str
    batch: int
    channels: int
    size: tuple[int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    block: int = 1
    count_include_pad: bool = False
    dtype: str = field(default="float32", metadata=UNSAID)

    @property
    def out_size(self) -> tuple[int, int]:
        if self.mode == "global_avg":
            return 1, 1
        h, w = (
            (self.size[i] + self.padding[i] + self.padding[i + 2] - self.kernel[i]) // self.stride[i] + 1
            for i in (0, 1)
        )
        return h, w

    @property
    def dilation(self) -> tuple[int, int]:
        return 1, 1

    @property
    def family(self) -> str:
        return "pool"

    def label(self) -> str:
        (h, w), (oh, ow) = self.size, self.out_size
        window = (
            ""
            if self.mode == "global_avg"
            else f" k={wording.pair(self.kernel)} s={wording.pair(self.stride)} p={wording.pads(self.padding)}"
        )
        batch = f"{self.batch}x" if self.batch > 1 else ""
        return (
            f"{self.mode}_pool{window} {batch}{self.channels}x{h}x{w}->{self.channels}x{oh}x{ow} "
            f"{SHORT[self.dtype]} nchw{self.block}c"
        )

    def emit(self, machine: Machine) -> KernelFunction:
        return KernelFunction(pool(self, machine))

    def sample(self, rng: np.random.Generator) -> "list[Physical | Constant]":
        sizes = (self.size, self.out_size)
        return [(packed_shape(self.batch, self.channels, size, self.block), self.dtype) for size in sizes]

    @classmethod
    def takes(cls, node: "Node", graph: "Graph") -> bool:
        """Over the height and width of float images, windows within the padded image."""
        if node.op not in ("MaxPool", "AveragePool", "GlobalAveragePool", "ReduceMean"):
            return False
        type_ = graph.types[node.inputs[0]]
        if len(type_.shape) != 4 or type_.dtype != "float32" or len(node.outputs) != 1:
            return False
        if node.op == "GlobalAveragePool":
            return True
        if node.op == "ReduceMean":
            return sorted(a % 4 for a in reduce_axes(node, graph.constants)) == [2, 3]
        kernel = node.attrs["kernel_shape"]
        stride, pads = node.attrs.get("strides", [1, 1]), node.attrs.get("pads", [0] * 4)
        if any(d != 1 for d in node.attrs.get("dilations", [1, 1])):
            return False
        floor = [(type_.shape[2 + i] + pads[i] + pads[i + 2] - kernel[i]) // stride[i] + 1 for i in (0, 1)]
        return graph.types[node.output].shape[2:] == tuple(floor)

    @classmethod
    def select(cls, group: "Group", to: "Selector") -> None:
        node = group.nodes[0]
        n, c, h, w = to.type(group.data).shape
        block = to.block(group.data)
        source = to.read(group.data, block)
        if node.op in ("GlobalAveragePool", "ReduceMean"):
            spec = cls("global_avg", n, c, (h, w), (h, w), block=block)
            if len(to.type(group.output).shape) == 4:
                to.call(spec, [source, to.make(group.output, block)], node.name)
                return
            pooled = f"{group.output}.pooled"
            to.add_tensor(pooled, Type((n, c, 1, 1), "float32"))
            to.call(spec, [source, to.make(pooled, block)], node.name)
            to.view(group.output, PLAIN, to.read(pooled, PLAIN))
            return
        spec = cls(
            "max" if node.op == "MaxPool" else "avg", n, c, (h, w), pair(node.attrs["kernel_shape"]),
            pair(node.attrs.get("strides", (1, 1))), quad(node.attrs.get("pads", (0, 0, 0, 0))), block,
            bool(node.attrs.get("count_include_pad", 0)),
        )  # fmt: skip
        to.call(spec, [source, to.make(group.output, block)], node.name)


def pool(spec: PoolSpec, machine: Machine) -> Any:
    """The function: input (N, ceil(C/v), H, W, v), output the same with the pooled size."""
    code, v = Code(), spec.block
    planes = spec.batch * ceil(spec.channels / v)
    x = Operand(code, "x", planes * prod(spec.size) * v)
    out = Operand(code, "out", planes * prod(spec.out_size) * v)
    threads = threads_for(machine, 0, 4 * (x.elements + out.elements))
    if spec.mode == "global_avg":
        return _global(code, spec, x, out, planes, threads)
    rows = spec.out_size[0]
    by_rows = balance(rows, threads) >= min(UNEVEN, balance(planes, threads))
    with shared(code, rows if by_rows else planes, threads) as share:
        outer, inner = (Whole(code), share) if by_rows else (share, Whole(code))
        with outer.pieces("b", 0, planes) as plane, inner.pieces("y", 0, rows) as y:
            _row_of_windows(code, spec, machine, x, out, plane, y)
    return code.function([x, out])


def _global(code: Code, spec: PoolSpec, x: Operand, out: Operand, planes: int, threads: int) -> Any:
    """Averages of whole planes."""
    pixels, v = prod(spec.size), spec.block
    with shared(code, planes, threads) as share, share.pieces("b", 0, planes) as plane:
        out.store(plane * v, _sum(code, x, plane * pixels * v, pixels, v) * splat(1.0 / pixels, v), v)
    return code.function([x, out])


def _sum(code: Code, x: Operand, start: Expr, pixels: int, v: int) -> Expr:
    """Sum of the pixels of the plane that begins at `start`."""
    sums = [code.register(f"sum{i}", v) for i in range(min(PARTIAL_SUMS, pixels))]
    for register in sums:
        register.set(splat(0.0, v))
    with code.loop("p", pixels // len(sums)) as p:
        for i, register in enumerate(sums):
            register.set(register.get() + x.load(start + (p * len(sums) + i) * v, v))
    for p in range(pixels - pixels % len(sums), pixels):
        sums[0].set(sums[0].get() + x.load(start + p * v, v))
    terms = [register.get() for register in sums]
    while len(terms) > 1:
        terms = [code.let("s", sum(terms[i : i + 2][1:], terms[i])) for i in range(0, len(terms), 2)]
    return terms[0]


def _row_of_windows(
    code: Code, spec: PoolSpec, machine: Machine, x: Operand, out: Operand, plane: Expr, y: Expr
) -> None:
    v, (height, width) = spec.block, spec.out_size
    per_vector = max(1, v // machine.lanes)
    tiles = balanced(width, max(1, min(16, machine.registers // per_vector - 3)))
    low, high = kernel_rows(code, spec, y)
    for run in column_runs(spec, tiles):
        with code.loop("t", run.count) as t:
            column = run.start + t * run.size
            acc = [code.register(f"acc{j}", v) for j in range(run.size)]
            for register in acc:
                register.set(splat(LOWEST if spec.mode == "max" else 0.0, v))
            with code.loop("r", high - low, low) as r:
                _row(code, spec, x, acc, plane, y, r, run, column)
            for j, register in enumerate(acc):
                value = register.get()
                if spec.mode == "avg":
                    value = value * _share(spec, high - low, column + j)
                out.store(((plane * height + y) * width + column + j) * v, value, v)


def _row(
    code: Code,
    spec: PoolSpec,
    x: Operand,
    acc: list[Register],
    plane: Expr,
    y: Expr,
    r: Expr,
    run: Run,
    column: Expr,
) -> None:
    """Take row `r` of the window into the pixels of one tile."""
    v, (height, width), stride = spec.block, spec.size, spec.stride
    row = y * stride[0] + r - spec.padding[0]
    at = code.let("at", ((plane * height + row) * width + column * stride[1] - spec.padding[1]) * v)
    for offset, users in reached(spec, run.size, column):
        value = code.let(f"x{offset}", x.load(at + offset * v, v))
        for j, _ in users:
            acc[j].set(tirx.Max(acc[j].get(), value) if spec.mode == "max" else acc[j].get() + value)


def _share(spec: PoolSpec, rows: Expr, column: Expr) -> Expr:
    """One over the number of values that an average is taken of."""
    if spec.count_include_pad:
        return splat(1.0 / prod(spec.kernel), spec.block)
    columns = spec.kernel[1]
    if isinstance(column, int):
        columns = sum(inside(spec, column, s) for s in range(spec.kernel[1]))
    count = rows * columns
    if isinstance(count, int):
        return splat(1.0 / max(count, 1), spec.block)
    return splat(tirx.FloatImm("float32", 1.0) / tirx.Cast("float32", count), spec.block)
