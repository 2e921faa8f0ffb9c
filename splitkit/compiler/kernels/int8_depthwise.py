"""Depthwise convolutions of bytes: a few pixels of a vector of channels in registers.

Where one instruction adds up several products of a lane (x86), the rows under a window are interleaved: a lane holds
the bytes of two or four rows of its channel, and meets the weights of one kernel column. Rows that hang over the border
are read from within the image and meet weights of zero. Elsewhere bytes are widened to 32 bits as they are loaded, and
rows at the border are left out. Neither minds the sign of its input.
"""

from functools import lru_cache
from math import ceil, prod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from tvm import tirx

from splitkit.compiler.codegen.border_cases import BorderCases
from splitkit.compiler.codegen.borders import column_runs, kernel_rows, reached
from splitkit.compiler.codegen.code import Code, Expr, Operand
from splitkit.compiler.codegen.dot import Rows, rows_for
from splitkit.compiler.codegen.integers import Rule, Sum, cast, number, padded_load
from splitkit.compiler.codegen.parallel import Share, Whole, shared, threads_for
from splitkit.compiler.codegen.tiling import Run, balanced
from splitkit.compiler.kernels.protocol import KernelFunction
from splitkit.compiler.machine import Machine

if TYPE_CHECKING:
    from splitkit.compiler.kernels.int8_convolution import Int8ConvSpec

MOST_PIXELS = 8
FEW_PIXELS = 3
"""With room for fewer of them beside a row of weights, weights are loaded as they are needed."""


class Plan:
    """Strips of channels, and how the rows of a window are read."""

    def __init__(self, spec: "Int8ConvSpec", machine: Machine) -> None:
        self.spec, self.lanes = spec, machine.lanes
        self.rows = rows_for(machine, spec.in_dtype)
        self.cases = BorderCases(spec, spec.shifted)
        self.padded = ceil(spec.out_channels / self.lanes) * self.lanes
        kh, kw = spec.kernel
        self.together = self.rows.together if self.rows else 1
        self.row_groups = ceil(kh / self.together)
        self.weight_bytes = prod(spec.kernel) * self.padded
        held = kw
        if self.rows:
            held = kw * self.row_groups
            self.weight_bytes = self.cases.rows * held * self.together * self.padded
        self.holds_weights = machine.registers - held - 3 >= FEW_PIXELS
        room = machine.registers - (held if self.holds_weights else 1) - 3
        self.pixels = balanced(spec.out_size[1], max(1, min(MOST_PIXELS, room)))


@lru_cache(maxsize=1024)
def plan(spec: "Int8ConvSpec", machine: Machine) -> Plan:
    """The plan, made once."""
    return Plan(spec, machine)


def pack(spec: "Int8ConvSpec", role: str, value: NDArray[Any], machine: Machine) -> NDArray[Any]:
    """Weights to (strip, kernel row, column, channel of the strip), or where rows are interleaved to (rows at the
    border, strip, column, group of rows, channel, row); sums and multipliers padded to whole strips."""
    cut = plan(spec, machine)
    room = cut.padded - spec.out_channels
    if role == "sums":
        return np.pad(value[0, : cut.cases.count], ((0, 0), (0, room))).astype(np.int32)
    if role == "multipliers":
        return np.pad(np.broadcast_to(value, (spec.out_channels,)), (0, room)).astype(np.int32)
    weights = np.pad(value[:, 0], ((0, room), (0, 0), (0, 0))).reshape(-1, cut.lanes, *spec.kernel)
    if cut.rows is None:
        return np.ascontiguousarray(weights.transpose(0, 2, 3, 1))
    kh, kw = spec.kernel
    found = np.zeros((cut.cases.rows, *weights.shape[:2], cut.row_groups * cut.together, kw), np.int8)
    for case, rows in enumerate(cut.cases.row_slices()):
        found[case, :, :, :kh][:, :, rows] = weights[:, :, rows]
    split = found.reshape(*found.shape[:3], cut.row_groups, cut.together, kw)
    return np.ascontiguousarray(split.transpose(0, 1, 5, 3, 2, 4))


def emit(spec: "Int8ConvSpec", machine: Machine) -> KernelFunction:
    """The kernel."""
    kernel = _Depthwise(plan(spec, machine), machine)
    kernel.emit(machine)
    return KernelFunction(kernel.code.function(kernel.operands))


class _Depthwise:
    def __init__(self, cut: Plan, machine: Machine) -> None:
        self.cut, self.spec, self.code = cut, cut.spec, Code()
        code, spec = self.code, self.spec
        pixels, out_pixels = spec.batch * prod(spec.size), spec.batch * prod(spec.out_size)
        self.x = Operand(code, "x", pixels * spec.in_pitch, dtype=spec.in_dtype)
        self.weight = Operand(code, "weight", cut.weight_bytes, dtype="int8")
        self.sums = Operand(code, "sums", cut.cases.count * cut.padded, dtype="int32")
        self.multipliers = Operand(code, "multipliers", cut.padded, dtype="int32")
        self.rule = Rule(code, machine, spec.dtype, spec.bounded)
        self.out = Operand(code, "out", out_pixels * spec.out_pitch, dtype=spec.dtype)
        self.operands = [self.x, self.weight, self.sums, self.multipliers, self.rule.operand, self.out]

    def emit(self, machine: Machine) -> None:
        self.rule.read()
        whole, rest = divmod(self.spec.out_channels, self.cut.lanes)
        threads = threads_for(machine, self.spec.macs // 4, self.x.elements + self.out.elements)
        with shared(self.code, self.spec.out_size[0], threads) as share:
            if whole:
                self._strips(share, whole, 0, self.cut.lanes)
            if rest:
                self._strips(share, 1, whole, rest)

    def _strips(self, share: Share | Whole, count: int, start: int, there: int) -> None:
        """Strips of which `there` channels exist."""
        code, spec, lanes = self.code, self.spec, self.cut.lanes
        with (
            code.loop("b", count, start) as b,
            code.loop("n", spec.batch) as n,
            share.pieces("y", 0, spec.out_size[0]) as y,
        ):
            m = code.let("m", self.multipliers.load(b * lanes, lanes))
            rows = kernel_rows(code, spec, y)
            for run in column_runs(spec, self.cut.pixels):
                with code.loop("t", run.count) as t:
                    self._tile(b, n, y, rows, run, run.start + t * run.size, there, m)

    def _tile(
        self, b: Expr, n: Expr, y: Expr, rows: tuple[Expr, Expr], run: Run, column: Expr, there: int, m: Expr
    ) -> None:
        code, spec, cut, lanes = self.code, self.spec, self.cut, self.cut.lanes
        totals = [Sum(code, f"sum{j}", lanes) for j in range(run.size)]
        for j, total in enumerate(totals):
            total.set(self.sums.load(cut.cases.of(*rows, column + j) * cut.padded + b * lanes, lanes))
        if cut.rows:
            self._interleaved(cut.rows, b, n, y, rows, run, column, there, totals)
        else:
            with code.loop("r", rows[1] - rows[0], rows[0]) as r:
                self._row(b, n, y, r, run, column, there, totals)
        for j, total in enumerate(totals):
            pixel = (n * spec.out_size[0] + y) * spec.out_size[1] + column + j
            value = self.rule.requantised(total.get(), m, lanes)
            self.rule.store(self.out, pixel * spec.out_pitch + b * lanes, value, lanes, there)

    def _at(self, b: Expr, n: Expr, row: Expr, column: Expr) -> Expr:
        """The first byte under a window."""
        spec = self.spec
        first = column * spec.stride[1] - spec.padding[1]
        return ((n * spec.size[0] + row) * spec.size[1] + first) * spec.in_pitch + b * self.cut.lanes

    def _interleaved(
        self, unit: Rows, b: Expr, n: Expr, y: Expr, rows: tuple[Expr, Expr], run: Run, column: Expr, there: int,
        totals: list[Sum],
    ) -> None:  # fmt: skip
        code, spec, cut, lanes = self.code, self.spec, self.cut, self.cut.lanes
        kh, kw = spec.kernel
        each = lanes * unit.together
        case = cut.cases.of_rows(*rows)
        base = code.let("w_at", (case * (cut.padded // lanes) + b) * (kw * cut.row_groups * each))
        weights = [
            [unit.weights(code, self.weight, base + (s * cut.row_groups + i) * each) for i in range(cut.row_groups)]
            for s in range(kw)
        ]
        starts = []
        for r in range(kh):
            row = y * spec.stride[0] + (r * spec.dilation[0] - spec.padding[0])
            inside = tirx.Min(tirx.Max(number(row), number(0)), number(spec.size[0] - 1))
            starts.append(code.let(f"at{r}", self._at(b, n, inside, column)))
        for offset, users in reached(spec, run.size, column):
            for i in range(cut.row_groups):
                places = starts[i * unit.together :][: unit.together]
                loaded = [padded_load(self.x, at + offset * spec.in_pitch, there, lanes) for at in places]
                value = unit.interleaved(code, loaded)
                for j, s in users:
                    unit.add(totals[j], value, weights[s][i])

    def _row(self, b: Expr, n: Expr, y: Expr, r: Expr, run: Run, column: Expr, there: int, totals: list[Sum]) -> None:
        code, spec, lanes = self.code, self.spec, self.cut.lanes
        kh, kw = spec.kernel
        row = y * spec.stride[0] + r * spec.dilation[0] - spec.padding[0]
        at = code.let("at", self._at(b, n, row, column))
        w_at = code.let("w_at", (b * kh + r) * (kw * lanes))

        def weight(s: int) -> Expr:
            return code.let(f"w{s}", cast(self.weight.load(w_at + s * lanes, lanes), "int32", lanes))

        def value(offset: int) -> Expr:
            loaded = padded_load(self.x, at + offset * spec.in_pitch, there, lanes)
            return code.let("x", cast(loaded, "int32", lanes))

        users = reached(spec, run.size, column)
        if self.cut.holds_weights:
            weights = [weight(s) for s in range(kw)]
            for offset, pairs in users:
                x = value(offset)
                for j, s in pairs:
                    totals[j].add(x * weights[s])
            return
        for s in range(kw):
            found = [(offset, j) for offset, pairs in users for j, column_ in pairs if column_ == s]
            w = weight(s) if found else 0
            for offset, j in found:
                totals[j].add(value(offset) * w)
