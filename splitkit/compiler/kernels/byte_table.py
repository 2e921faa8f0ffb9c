"""Any function of one byte: looked up."""

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from splitkit.compiler.codegen.code import Code, Operand
from splitkit.compiler.codegen.integers import cast
from splitkit.compiler.codegen.parallel import shared, threads_for
from splitkit.compiler.kernels.protocol import SHORT, KernelFunction, KernelSpec, Physical
from splitkit.compiler.machine import Machine
from splitkit.compiler.pitch import pitch_for
from splitkit.compiler.program import PLAIN, Constant

if TYPE_CHECKING:
    from splitkit.compiler.grouping import Group
    from splitkit.compiler.selection import Selector
    from splitkit.graphs.reading.graph import Graph, Node

UNROLLED = 8


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
        whole, rest = divmod(self.elements, UNROLLED)
        threads = threads_for(machine, 0, 8 * self.elements)

        def one(at: object) -> None:
            out.store(at, table.load(cast(x.load(at), "int32", 1)))

        with shared(code, whole, threads) as share, share.pieces("v", 0, whole) as v:
            for i in range(UNROLLED):
                one(v * UNROLLED + i)
        for i in range(rest):
            one(whole * UNROLLED + i)
        return KernelFunction(code.function([x, table, out]))
