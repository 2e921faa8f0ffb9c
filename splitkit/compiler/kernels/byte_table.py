"""Any function of one byte: looked up."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from tvm import tirx

from splitkit.compiler.codegen.code import Code, Expr, Operand
from splitkit.compiler.codegen.integers import cast, number
from splitkit.compiler.codegen.parallel import shared, threads_for
from splitkit.compiler.kernels.protocol import SHORT, KernelFunction, KernelSpec, Physical
from splitkit.compiler.machine import Machine
from splitkit.compiler.pitch import pitch_for
from splitkit.compiler.program import PLAIN, Constant

if TYPE_CHECKING:
    from splitkit.compiler.grouping import Group
    from splitkit.compiler.selection import Selector
    from splitkit.graphs.reading.graph import Graph, Node

UNROLLED, PERMUTED = 8, 64
"""Bytes of a turn: one by one, and where a register of 64 can be permuted by another (AVX-512 VBMI)."""


@dataclass(frozen=True)
class ByteTableSpec(KernelSpec):
    """Each byte replaced by the table's entry for it, counted as unsigned. Operands: input, table (256), output."""

    kind: ClassVar[str] = "byte_table"
    elements: int
    dtype: str = "uint8"

    @property
    def family(self) -> str:
        return "byte_table"

    def label(self) -> str:
        return f"table {self.elements} {SHORT[self.dtype]}"

    def sample(self, rng: np.random.Generator) -> "list[Physical | Constant]":
        table = Constant(rng.permutation(256).astype(np.uint8), "raw")
        return [((self.elements,), "uint8"), table, ((self.elements,), self.dtype)]

    @classmethod
    def takes(cls, node: "Node", graph: "Graph") -> bool:
        return node.op == "ByteTable"

    @classmethod
    def select(cls, group: "Group", to: "Selector") -> None:
        node, out = group.nodes[0], to.type(group.output)
        layout = pitch_for(out.shape[1]) if len(out.shape) == 4 and PLAIN not in to.found[group.data] else PLAIN
        elements = prod(to.physical(out, layout))
        table = Constant(to.graph.constants[node.inputs[1]], "raw")
        operands: list[str | Constant] = [to.read(group.data, layout), table, to.make(group.output, layout)]
        to.call(cls(elements, out.dtype), operands, node.name)

    def emit(self, machine: Machine) -> KernelFunction:
        code = Code()
        x = Operand(code, "x", self.elements, dtype="uint8")
        table = Operand(code, "table", 256, dtype=self.dtype)
        out = Operand(code, "out", self.elements, dtype=self.dtype)
        permutes = machine.has("avx512vbmi")
        piece = PERMUTED if permutes else UNROLLED
        whole, rest = divmod(self.elements, piece)
        quarters = [code.let(f"t{i}", _signed(table.load(64 * i, 64))) for i in range(4)] if permutes and whole else []

        def one(at: Expr) -> None:
            out.store(at, table.load(cast(x.load(at), "int32", 1)))

        with shared(code, whole, threads_for(machine, 0, 8 * self.elements)) as share, share.pieces("v", 0, whole) as v:
            if quarters:
                found = _looked_up(code, quarters, x.load(v * piece, piece))
                out.store(v * piece, tirx.reinterpret(f"{self.dtype}x{piece}", found), piece)
            else:
                for i in range(piece):
                    one(v * piece + i)
        with code.loop("i", rest, whole * piece) as i:
            one(i)
        return KernelFunction(code.function([x, table, out]))


def _signed(value: Expr) -> Expr:
    return tirx.reinterpret(f"int8x{PERMUTED}", value)


def _looked_up(code: Code, quarters: Sequence[Expr], bytes_: Expr) -> Expr:
    """Entries of a table in four registers: seven bits choose from two of them, the eighth between the pairs."""
    index = code.let("index", _signed(bytes_))
    low, high = (
        tirx.call_llvm_pure_intrin(f"int8x{PERMUTED}", "llvm.x86.avx512.vpermi2var.qi.512", first, index, second)
        for first, second in (quarters[:2], quarters[2:])
    )
    return tirx.Select(index < number(0, PERMUTED, "int8"), high, low)
