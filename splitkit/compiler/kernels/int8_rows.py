"""Dense, pointwise and grouped convolutions of bytes where products are added up along one output.

All channels under a row of the window lie side by side, and so do its weights: one reduction of as many bytes as the
row has. At the border it is shorter.
"""

from functools import lru_cache
from math import ceil, prod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from splitkit.compiler.codegen.border_cases import BorderCases
from splitkit.compiler.codegen.borders import column_runs, inside, kernel_rows
from splitkit.compiler.codegen.code import Code, Expr, Operand
from splitkit.compiler.codegen.dot import Helium, unit_for
from splitkit.compiler.codegen.integers import Rule, Sum
from splitkit.compiler.codegen.tiling import Run, balanced
from splitkit.compiler.kernels.int8_dense import flattened
from splitkit.compiler.kernels.protocol import KernelFunction
from splitkit.compiler.machine import Machine

if TYPE_CHECKING:
    from splitkit.compiler.kernels.int8_convolution import Int8ConvSpec


class Plan:
    """Outputs and pixels of a tile, and the bytes of a row of the window."""

    def __init__(self, spec: "Int8ConvSpec", machine: Machine) -> None:
        self.spec = spec = flattened(spec)
        self.unit = unit_for(machine, spec.in_dtype)
        self.channels = spec.out_channels // spec.groups
        self.inputs = spec.in_channels // spec.groups
        self.joined = spec.groups == 1 and spec.dilation[1] == 1
        kw = spec.kernel[1]
        depth = self.unit.depth
        self.per_tap = spec.in_pitch if self.joined else self.inputs
        # Whole steps of weights may be read past the last tap.
        stretches, each = (1, kw * self.per_tap) if self.joined else (kw, self.inputs)
        self.row_bytes = stretches * ceil(each / depth) * depth
        # Helium adds up in even registers only, of which there are seven.
        outputs, pixels = (3, 2) if isinstance(self.unit, Helium) else (2, 2)
        self.outputs = balanced(self.channels, outputs)
        self.pixels = balanced(spec.out_size[1], pixels)

    def tap(self, s: int) -> int:
        """Where the weights of a kernel column begin in their row."""
        return s * self.per_tap if self.joined else s * (self.row_bytes // self.spec.kernel[1])


@lru_cache(maxsize=1024)
def plan(spec: "Int8ConvSpec", machine: Machine) -> Plan:
    """The plan, made once."""
    return Plan(spec, machine)


def pack(spec: "Int8ConvSpec", role: str, value: NDArray[Any], machine: Machine) -> NDArray[Any]:
    """Weights to (out, kernel row, bytes of the row)."""
    cut = plan(spec, machine)
    if role == "sums":
        sums = value[0] + cut.unit.moves * value[1]
        return np.array(sums if spec.shifted or cut.unit.moves else sums[:1], np.int32)
    if role == "multipliers":
        return np.array(np.broadcast_to(value, (spec.out_channels,)), np.int32)
    kh, kw = spec.kernel
    found = np.zeros((spec.out_channels, kh, cut.row_bytes), np.int8)
    for s in range(kw):
        found[:, :, cut.tap(s) :][:, :, : cut.inputs] = value[:, :, :, s].transpose(0, 2, 1)
    # Steps of the last output's last row may reach past it.
    return np.concatenate([found.reshape(-1), np.zeros(cut.unit.depth, np.int8)])


def emit(spec: "Int8ConvSpec", machine: Machine) -> KernelFunction:
    """The kernel."""
    kernel = _Rows(plan(spec, machine), machine)
    kernel.emit()
    return KernelFunction(kernel.code.function(kernel.operands))


class _Rows:
    def __init__(self, cut: Plan, machine: Machine) -> None:
        self.cut, self.spec, self.unit, self.code = cut, cut.spec, cut.unit, Code()
        code, spec = self.code, self.spec
        self.cases = BorderCases(spec, spec.shifted or self.unit.moves != 0)
        pixels, out_pixels = spec.batch * prod(spec.size), spec.batch * prod(spec.out_size)
        self.per_output = spec.kernel[0] * cut.row_bytes
        self.x = Operand(code, "x", pixels * spec.in_pitch, dtype=spec.in_dtype)
        self.weight = Operand(code, "weight", spec.out_channels * self.per_output + cut.unit.depth, dtype="int8")
        self.sums = Operand(code, "sums", self.cases.count * spec.out_channels, dtype="int32")
        self.multipliers = Operand(code, "multipliers", spec.out_channels, dtype="int32")
        self.rule = Rule(code, machine, spec.dtype, spec.bounded)
        self.out = Operand(code, "out", out_pixels * spec.out_pitch, dtype=spec.dtype)
        self.operands = [self.x, self.weight, self.sums, self.multipliers, self.rule.operand, self.out]

    def emit(self) -> None:
        spec, code, cut = self.spec, self.code, self.cut
        self.rule.read()
        with code.loop("q", spec.groups) as q:
            for run in cut.outputs:
                with code.loop("g", run.count) as g:
                    channel = code.let("channel", q * cut.channels + run.start + g * run.size)
                    with code.loop("n", spec.batch) as n, code.loop("y", spec.out_size[0]) as y:
                        rows = kernel_rows(code, spec, y)
                        for pixels in column_runs(spec, cut.pixels):
                            with code.loop("t", pixels.count) as t:
                                column = pixels.start + t * pixels.size
                                self._tile(q, channel, run.size, n, y, rows, pixels, column)

    def _tile(
        self, q: Expr, channel: Expr, outputs: int, n: Expr, y: Expr, rows: tuple[Expr, Expr], run: Run, column: Expr
    ) -> None:
        code, spec, cut = self.code, self.spec, self.cut
        kw = spec.kernel[1]
        totals = []
        for j in range(run.size):
            case = self.cases.of(*rows, column + j)
            totals.append([Sum(code, f"sum{b}_{j}", 1) for b in range(outputs)])
            for b, total in enumerate(totals[-1]):
                total.set(self.sums.load(case * spec.out_channels + channel + b))
        with code.loop("r", rows[1] - rows[0], rows[0]) as r:
            row = y * spec.stride[0] + r * spec.dilation[0] - spec.padding[0]
            start = code.let("start", (n * spec.size[0] + row) * spec.size[1] * spec.in_pitch + q * cut.inputs)
            w_row = code.let("w_row", channel * self.per_output + r * cut.row_bytes)
            taps = {
                j: [s for s in range(kw) if not isinstance(column, int) or inside(spec, column + j, s)]
                for j in range(run.size)
            }
            for members in _alike(taps):
                for first, count in self._stretches(taps[members[0]]):
                    places = [
                        code.let(
                            "at",
                            start
                            + ((column + j) * spec.stride[1] + first * spec.dilation[1] - spec.padding[1])
                            * spec.in_pitch,
                        )
                        for j in members
                    ]
                    self._reduce(places, w_row + cut.tap(first), count, [totals[j] for j in members])
        for b in range(outputs):
            multiplier = code.let("m", self.multipliers.load(channel + b))
            for j in range(run.size):
                pixel = (n * spec.out_size[0] + y) * spec.out_size[1] + column + j
                value = self.rule.requantised(totals[j][b].get(), multiplier, 1)
                self.rule.store(self.out, pixel * spec.out_pitch + channel + b, value, 1, 1)

    def _stretches(self, taps: list[int]) -> list[tuple[int, int]]:
        """First kernel column and bytes of every reduction over these columns, which follow one another."""
        if not taps:
            return []
        if self.cut.joined:
            return [(taps[0], len(taps) * self.cut.per_tap)]
        return [(s, self.cut.inputs) for s in taps]

    def _reduce(self, places: list[Expr], w_at: Expr, count: int, totals: list[list[Sum]]) -> None:
        """Add the products of `count` bytes from each place with every output's weights."""
        code, unit = self.code, self.unit
        whole, rest = divmod(count, unit.depth)
        w_at = code.let("w_at", w_at)

        def step(k: Expr, bytes_: int) -> None:
            values = [unit.activations(code, self.x, at + k * unit.depth, bytes_) for at in places]
            for b in range(len(totals[0])):
                w = unit.weights(code, self.weight, w_at + b * self.per_output + k * unit.depth)
                for value, sums in zip(values, totals, strict=True):
                    unit.add(sums[b], value, w)

        if whole:
            with code.loop("k", whole) as k:
                step(k, unit.depth)
        if rest:
            step(whole, rest)


def _alike(taps: dict[int, list[int]]) -> list[list[int]]:
    """Pixels by the kernel columns that they meet."""
    found: dict[tuple[int, ...], list[int]] = {}
    for j, columns in taps.items():
        found.setdefault(tuple(columns), []).append(j)
    return list(found.values())
