"""Sums and products of two tensors of bytes, each with steps of its own."""

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from splitkit.compiler.codegen.code import Code, Expr, Operand
from splitkit.compiler.codegen.integers import Rule, cast, number
from splitkit.compiler.codegen.parallel import shared, threads_for
from splitkit.compiler.kernels.int8_convolution import bounded, numbers
from splitkit.compiler.kernels.protocol import SHORT, KernelFunction, KernelSpec, Physical
from splitkit.compiler.machine import Machine
from splitkit.compiler.pitch import pitch_for
from splitkit.compiler.program import PLAIN, Constant

if TYPE_CHECKING:
    from splitkit.compiler.grouping import Group
    from splitkit.compiler.selection import Selector
    from splitkit.graphs.reading.graph import Graph, Node


@dataclass(frozen=True)
class Int8PairsSpec(KernelSpec):
    """out = a K + b L, or a b K, in the rule's steps. Operands: a, b, numbers, rule, output.

    `numbers` are the zero points of a and b, and K and L.

    Attributes:
        op: add or mul.
        pixels, pitch: of a and the output, each (pixels, pitch); b is the same or, if `spread`, one (pitch,) for as
            many pixels as an image has.
        images: in the batch.
    """

    kind: ClassVar[str] = "int8_pairs"
    op: str
    pixels: int
    pitch: int
    spread: bool = False
    images: int = 1
    dtypes: tuple[str, str] = ("uint8", "uint8")
    dtype: str = "uint8"
    bounded: bool = False

    @property
    def family(self) -> str:
        return "int8_pairs"

    def label(self) -> str:
        dtypes = ",".join(SHORT[each] for each in self.dtypes)
        spread = " by channel" if self.spread else ""
        return f"{self.op} {self.pixels}x{self.pitch}{spread} {dtypes}->{SHORT[self.dtype]}"

    def sample(self, rng: np.random.Generator) -> "list[Physical | Constant]":
        b = (self.images if self.spread else self.pixels, self.pitch)
        values = (np.array([3, 128, 1 << 12, 1 << 12], np.int32), np.array([1 << 13, 14, 0, 255], np.int32))
        constants = [Constant(each, "raw") for each in values]
        shape = (self.pixels, self.pitch)
        return [(shape, self.dtypes[0]), (b, self.dtypes[1]), *constants, (shape, self.dtype)]

    @classmethod
    def takes(cls, node: "Node", graph: "Graph") -> bool:
        return node.op in ("IntegerAdd", "IntegerMul")

    @classmethod
    def select(cls, group: "Group", to: "Selector") -> None:
        node, out = group.nodes[0], to.type(group.output)
        a, b = (to.type(name) for name in node.inputs)
        spread = a.shape != b.shape
        if len(out.shape) == 4:
            layout = pitch_for(out.shape[1])
            pixels, images = out.shape[0] * prod(out.shape[2:]), out.shape[0]
        else:
            layout, pixels, images = PLAIN, 1, 1
        rule = node.attrs["rule"]
        spec = cls(
            "add" if node.op == "IntegerAdd" else "mul", pixels, layout or prod(out.shape), spread, images,
            (a.dtype, b.dtype), out.dtype, bounded(rule, out.dtype),
        )  # fmt: skip
        values = np.array([*node.attrs["zeros"], *rule.multipliers, *rule.multipliers][:4], np.int32)
        operands: list[str | Constant] = [to.read(name, layout) for name in node.inputs]
        operands += [Constant(values, "raw"), Constant(numbers(rule), "raw"), to.make(group.output, layout)]
        to.call(spec, operands, node.name)

    def emit(self, machine: Machine) -> KernelFunction:
        code = Code()
        elements = self.pixels * self.pitch
        a = Operand(code, "a", elements, dtype=self.dtypes[0])
        b = Operand(code, "b", self.images * self.pitch if self.spread else elements, dtype=self.dtypes[1])
        given = Operand(code, "numbers", 4, dtype="int32")
        rule = Rule(code, machine, self.dtype, self.bounded)
        out = Operand(code, "out", elements, dtype=self.dtype)
        rule.read()
        za, zb, k, m = (code.let(name, given.load(i)) for i, name in enumerate(("za", "zb", "k", "m")))

        def vector(at: Expr, other: Expr, lanes: int) -> None:
            x = cast(a.load(at, lanes), "int32", lanes) - number(za, lanes)
            y = cast(b.load(other, lanes), "int32", lanes) - number(zb, lanes)
            both = x * number(k, lanes) + y * number(m, lanes)
            total = both if self.op == "add" else x * y * number(k, lanes)
            rule.store(out, at, rule.rounded(total, lanes), lanes, lanes)

        def row(start: Expr, other: Expr, count: int) -> None:
            whole, rest = divmod(count, machine.lanes)
            with code.loop("v", whole) as v:
                vector(start + v * machine.lanes, other + v * machine.lanes, machine.lanes)
            done = whole * machine.lanes
            while rest:
                lanes = 1 << (rest.bit_length() - 1)
                vector(start + done, other + done, lanes)
                done, rest = done + lanes, rest - lanes

        threads = threads_for(machine, 0, 3 * elements)
        per_image = self.pixels // self.images
        with shared(code, self.pixels, threads) as share:
            if self.spread:
                with code.loop("n", self.images) as n, share.pieces("p", 0, per_image) as p:
                    row((n * per_image + p) * self.pitch, n * self.pitch, self.pitch)
            else:
                with share.pieces("p", 0, self.pixels) as p:
                    row(p * self.pitch, p * self.pitch, self.pitch)
        return KernelFunction(code.function([a, b, given, rule.operand, out]))

    def pack(self, role: str, value: Any, machine: Machine) -> Any:
        return np.ascontiguousarray(value)
