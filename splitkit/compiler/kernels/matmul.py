"""Products of two activations: a register tile of rows x two vectors of columns, reduction innermost.

The right operand is read row by row as it lies, so nothing is packed at run time.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from splitkit.compiler.codegen.code import Code, Expr, Operand, splat
from splitkit.compiler.codegen.parallel import shared
from splitkit.compiler.kernels.protocol import SHORT, UNSAID, KernelFunction, KernelSpec, Physical
from splitkit.compiler.machine import Machine
from splitkit.compiler.program import PLAIN, Constant

if TYPE_CHECKING:
    from splitkit.compiler.grouping import Group
    from splitkit.compiler.selection import Selector
    from splitkit.graphs.reading.graph import Graph, Node

PARALLEL_MACS = 1 << 20
"""Products smaller than this stay on one thread."""


@dataclass(frozen=True)
class MatmulSpec(KernelSpec):
    """Product of two activations, (batch, rows, depth) x (batch, depth, columns).

    Operands: left, right, output.

    Attributes:
        shared: which operand the whole batch uses: `left`, `right` or the empty string.
    """

    kind: ClassVar[str] = "matmul"
    batch: int
    rows: int
    depth: int
    columns: int
    shared: str = ""
    dtype: str = field(default="float32", metadata=UNSAID)

    @property
    def family(self) -> str:
        return "matmul"

    @property
    def macs(self) -> int:
        return self.batch * self.rows * self.depth * self.columns

    def label(self) -> str:
        shared = f" one {self.shared}" if self.shared else ""
        return f"matmul {self.batch}x{self.rows}x{self.depth} x {self.depth}x{self.columns}{shared} {SHORT[self.dtype]}"

    def emit(self, machine: Machine) -> KernelFunction:
        return KernelFunction(matmul(self, machine))

    def sample(self, rng: np.random.Generator) -> "list[Physical | Constant]":
        left, right = (1 if self.shared == side else self.batch for side in ("left", "right"))
        shapes = (
            (left, self.rows, self.depth),
            (right, self.depth, self.columns),
            (self.batch, self.rows, self.columns),
        )
        return [(shape, self.dtype) for shape in shapes]

    @classmethod
    def takes(cls, node: "Node", graph: "Graph") -> bool:
        """Matrices of equal batches, or a batch of matrices with one matrix."""
        if node.op != "MatMul":
            return False
        types = [graph.types[n] for n in node.inputs]
        batches = [t.shape[:-2] for t in types]
        single = [prod(b) == 1 for b in batches]
        plain = all(len(t.shape) >= 2 and t.dtype == "float32" for t in types)
        return (
            plain and (batches[0] == batches[1] or any(single)) and not any(n in graph.constants for n in node.inputs)
        )

    @classmethod
    def select(cls, group: "Group", to: "Selector") -> None:
        node = group.nodes[0]
        left, right = (to.type(n).shape for n in node.inputs)
        batches = (prod(left[:-2]), prod(right[:-2]))
        shared = "" if batches[0] == batches[1] else "left" if batches[0] == 1 else "right"
        spec = cls(max(batches), left[-2], left[-1], right[-1], shared)
        operands = [to.read(n, PLAIN) for n in node.inputs]
        to.call(spec, [*operands, to.make(group.output, PLAIN)], node.name)


def matmul(spec: MatmulSpec, machine: Machine) -> Any:
    """The function of a product."""
    code = Code()
    one_left, one_right = spec.shared == "left", spec.shared == "right"
    left = Operand(code, "left", (1 if one_left else spec.batch) * spec.rows * spec.depth)
    right = Operand(code, "right", (1 if one_right else spec.batch) * spec.depth * spec.columns)
    out = Operand(code, "out", spec.batch * spec.rows * spec.columns)
    # Two vectors of columns by as many rows as leave registers for them and for a broadcast.
    vectors = 2 if spec.columns > machine.lanes else 1
    tile = max(1, min((machine.registers - vectors - 2) // vectors, 8, spec.rows))
    threads = machine.threads if spec.macs >= PARALLEL_MACS else 1
    with shared(code, spec.batch, threads) as share, share.pieces("b", 0, spec.batch) as b:
        bases = (0 if one_left else b * (spec.rows * spec.depth), 0 if one_right else b * (spec.depth * spec.columns))
        for row, rows, count in _tiles(spec.rows, tile):
            with code.loop("r", count) as r:
                for column, lanes in _columns(code, spec.columns, vectors, machine.lanes):
                    _tile(code, spec, (left, right, out), (*bases, b), (row + r * rows, rows), (column, lanes))
    return code.function([left, right, out])


def _tiles(extent: int, tile: int) -> Iterator[tuple[int, int, int]]:
    """(start, size, how many) of whole tiles and of the remainder."""
    whole, rest = divmod(extent, tile)
    if whole:
        yield 0, tile, whole
    if rest:
        yield whole * tile, rest, 1


def _columns(code: Code, columns: int, vectors: int, lanes: int) -> Iterator[tuple[Expr, list[int]]]:
    """First column and vector widths of every tile; whole tiles share one loop."""
    whole, rest = divmod(columns, vectors * lanes)
    if whole:
        with code.loop("c", whole) as c:
            yield c * (vectors * lanes), [lanes] * vectors
    start, widths = whole * vectors * lanes, [lanes] * (rest // lanes) + ([rest % lanes] if rest % lanes else [])
    if widths:
        yield start, widths


def _tile(
    code: Code,
    spec: MatmulSpec,
    operands: tuple[Operand, Operand, Operand],
    bases: tuple[Expr, Expr, Expr],
    rows: tuple[Expr, int],
    columns: tuple[Expr, list[int]],
) -> None:
    left, right, out = operands
    (row, height), (column, widths) = rows, columns
    starts = [sum(widths[:i]) for i in range(len(widths))]
    sums = [[code.register("sum", w) for w in widths] for _ in range(height)]
    for accumulators in sums:
        for accumulator, width in zip(accumulators, widths, strict=True):
            accumulator.set(splat(0.0, width))
    with code.loop("k", spec.depth) as k:
        vectors = [
            code.let("w", right.load(bases[1] + k * spec.columns + column + start, width))
            for start, width in zip(starts, widths, strict=True)
        ]
        for i, accumulators in enumerate(sums):
            value = code.let("a", left.load(bases[0] + (row + i) * spec.depth + k))
            for accumulator, vector, width in zip(accumulators, vectors, widths, strict=True):
                accumulator.add_product(splat(value, width), vector)
    for i, accumulators in enumerate(sums):
        at = bases[2] * (spec.rows * spec.columns) + (row + i) * spec.columns + column
        for accumulator, start, width in zip(accumulators, starts, widths, strict=True):
            out.store(at + start, accumulator.get(), width)
