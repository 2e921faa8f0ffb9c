"""Softmax and layer normalisation over the last axis, a row at a time, in whole vectors.

Softmax subtracts the row's maximum first; layer normalisation takes the variance from centred values, in a second pass.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from tvm import tirx

from splitkit.compiler.codegen.activation import exponential
from splitkit.compiler.codegen.code import Code, Expr, Operand, Register, splat
from splitkit.compiler.codegen.parallel import shared
from splitkit.compiler.kernels.protocol import SHORT, UNSAID, KernelFunction, KernelSpec, Physical
from splitkit.compiler.machine import Machine
from splitkit.compiler.program import PLAIN, Constant

if TYPE_CHECKING:
    from splitkit.compiler.grouping import Group
    from splitkit.compiler.selection import Selector
    from splitkit.graphs.reading.graph import Graph, Node

PARALLEL_ELEMENTS = 1 << 16
"""Fewer elements than this stay on one thread."""
_LOWEST = -3.4e38


@dataclass(frozen=True)
class RowSpec(KernelSpec):
    """A function of every row of a (rows, length) matrix. `function`: softmax or layer_norm.

    Operands: input, output; layer_norm: input, scale (length,), [bias (length,)], output.
    """

    kind: ClassVar[str] = "row"
    function: str
    rows: int
    length: int
    epsilon: float = 0.0
    bias: bool = False
    dtype: str = field(default="float32", metadata=UNSAID)

    @property
    def family(self) -> str:
        return "row"

    def label(self) -> str:
        return f"{self.function} {self.rows}x{self.length}{' +bias' if self.bias else ''} {SHORT[self.dtype]}"

    def emit(self, machine: Machine) -> KernelFunction:
        return KernelFunction(rows(self, machine))

    def sample(self, rng: np.random.Generator) -> "list[Physical | Constant]":
        vectors = (1 + self.bias) if self.function == "layer_norm" else 0
        constants = [Constant(rng.uniform(-1, 1, self.length).astype(np.float32), "raw") for _ in range(vectors)]
        matrix = (self.rows, self.length), self.dtype
        return [matrix, *constants, matrix]

    @classmethod
    def takes(cls, node: "Node", graph: "Graph") -> bool:
        """Over the last axis only, float32, with constant parameters."""
        if node.op not in ("Softmax", "LayerNormalization"):
            return False
        type_ = graph.types[node.inputs[0]]
        if type_.dtype != "float32" or len(node.outputs) != 1 or not type_.shape:
            return False
        vectors = all(
            n in graph.constants and graph.constants[n].shape == type_.shape[-1:] for n in node.inputs[1:] if n
        )
        return vectors and node.attrs.get("axis", -1) % len(type_.shape) == len(type_.shape) - 1

    @classmethod
    def select(cls, group: "Group", to: "Selector") -> None:
        node = group.nodes[0]
        shape = to.type(group.data).shape
        vectors = [Constant(to.graph.constants[n], "raw") for n in node.inputs[1:] if n]
        norm = node.op == "LayerNormalization"
        epsilon = float(node.attrs.get("epsilon", 1e-5)) if norm else 0.0
        spec = cls("layer_norm" if norm else "softmax", prod(shape[:-1]), shape[-1], epsilon, len(vectors) == 2)
        to.call(spec, [to.read(group.data, PLAIN), *vectors, to.make(group.output, PLAIN)], node.name)


def rows(spec: RowSpec, machine: Machine) -> Any:
    """The function of a row function."""
    code = Code()
    size = spec.rows * spec.length
    x = Operand(code, "x", size)
    extra = [Operand(code, n, spec.length) for n in (["scale"] if spec.function == "layer_norm" else [])]
    extra += [Operand(code, "bias", spec.length)] if spec.bias else []
    out = Operand(code, "out", size)
    threads = machine.threads if size >= PARALLEL_ELEMENTS else 1
    with shared(code, spec.rows, threads) as share, share.pieces("row", 0, spec.rows) as row:
        body = _Row(code, spec, 1 << (min(machine.lanes, spec.length).bit_length() - 1), row * spec.length)
        if spec.function == "softmax":
            body.softmax(x, out)
        else:
            body.layer_norm(x, extra, out)
    return code.function([x, *extra, out])


class _Row:
    """One row of `length` elements from `base`, in vectors of `lanes`."""

    def __init__(self, code: Code, spec: RowSpec, lanes: int, base: Expr) -> None:
        self.code, self.spec, self.lanes, self.base = code, spec, lanes, base

    def softmax(self, x: Operand, out: Operand) -> None:
        code = self.code
        largest = self._reduce(_LOWEST, tirx.Max, lambda at, n: x.load(self.base + at, n))

        def power(at: Expr, n: int) -> Expr:
            value = code.let(
                "e", exponential(code, code.let("d", x.load(self.base + at, n) - splat(largest, n)), 1.0, n)
            )
            out.store(self.base + at, value, n)
            return value

        total = self._reduce(0.0, tirx.Add, power)
        factor = code.let("factor", tirx.FloatImm("float32", 1.0) / total)
        self._each(lambda at, n: out.store(self.base + at, out.load(self.base + at, n) * splat(factor, n), n))

    def layer_norm(self, x: Operand, extra: list[Operand], out: Operand) -> None:
        code, count = self.code, tirx.FloatImm("float32", 1 / self.spec.length)
        mean = code.let("mean", self._reduce(0.0, tirx.Add, lambda at, n: x.load(self.base + at, n)) * count)

        def square(at: Expr, n: int) -> Expr:
            centred = code.let("d", x.load(self.base + at, n) - splat(mean, n))
            return centred * centred

        variance = self._reduce(0.0, tirx.Add, square) * count
        root = tirx.call_llvm_pure_intrin(
            "float32", "llvm.sqrt", variance + tirx.FloatImm("float32", self.spec.epsilon)
        )
        factor = code.let("factor", tirx.FloatImm("float32", 1.0) / root)

        def scale(at: Expr, n: int) -> None:
            value = (x.load(self.base + at, n) - splat(mean, n)) * splat(factor, n) * extra[0].load(at, n)
            out.store(self.base + at, value + extra[1].load(at, n) if self.spec.bias else value, n)

        self._each(scale)

    def _each(self, body: Callable[[Expr, int], None]) -> None:
        """`body(start, width)` for every whole vector of the row."""
        whole, rest = divmod(self.spec.length, self.lanes)
        with self.code.loop("v", whole) as v:
            body(v * self.lanes, self.lanes)
        for i in range(rest):
            body(whole * self.lanes + i, 1)

    def _reduce(self, start: float, combine: Any, value: Callable[[Expr, int], Expr]) -> Expr:
        """A scalar out of every element: vectors are combined lane by lane, then the lanes, then the tail."""
        code = self.code
        whole, rest = divmod(self.spec.length, self.lanes)
        lanes = code.register("lanes", self.lanes)
        lanes.set(splat(start, self.lanes))
        with code.loop("v", whole) as v:
            lanes.set(combine(lanes.get(), value(v * self.lanes, self.lanes)))
        result = self._across(lanes, combine)
        for i in range(rest):
            result = code.let("r", combine(result, value(whole * self.lanes + i, 1)))
        return result

    def _across(self, register: Register, combine: Any) -> Expr:
        """The lanes combined by halves; LLVM's own reduction would add them one after the other."""
        value, lanes = self.code.let("l", register.get()), self.lanes
        while lanes > 1:
            lanes //= 2
            low, high = (_part(value, start, lanes) for start in (0, lanes))
            value = self.code.let("l", combine(low, high))
        return value


def _part(vector: Expr, start: int, lanes: int) -> Expr:
    return tirx.Shuffle([vector], [tirx.IntImm("int32", start + i) for i in range(lanes)])
