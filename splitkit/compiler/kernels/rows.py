"""Softmax and layer normalisation over the last axis, a row at a time, in whole vectors.

Softmax subtracts the row's maximum first; layer normalisation takes the variance from centred values, in a second pass.
"""

from collections.abc import Callable
from typing import Any

from tvm import tirx

from splitkit.compiler.codegen.activation import exponential
from splitkit.compiler.codegen.code import Code, Expr, Operand, Register, splat
from splitkit.compiler.codegen.parallel import shared
from splitkit.compiler.machine import Machine
from splitkit.compiler.spec import RowSpec

PARALLEL_ELEMENTS = 1 << 16
"""Fewer elements than this stay on one thread."""
_LOWEST = -3.4e38


def emit_rows(spec: RowSpec, machine: Machine) -> Any:
    """The private `tirx.PrimFunc` of a row function."""
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
