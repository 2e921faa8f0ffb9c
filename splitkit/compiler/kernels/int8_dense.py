"""Dense, pointwise and grouped convolutions of bytes: a register tile of sums under a reduction."""

from functools import lru_cache
from math import ceil, prod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from splitkit.compiler.codegen.border_cases import BorderCases
from splitkit.compiler.codegen.borders import column_runs, inside, kernel_rows
from splitkit.compiler.codegen.code import Code, Expr, Operand
from splitkit.compiler.codegen.dot import Unit, unit_for
from splitkit.compiler.codegen.integers import Rule, Sum
from splitkit.compiler.codegen.parallel import UNEVEN, Whole, balance, shared, threads_for
from splitkit.compiler.codegen.tiling import Group, Run, balanced
from splitkit.compiler.kernels.protocol import KernelFunction
from splitkit.compiler.machine import Machine

if TYPE_CHECKING:
    from splitkit.compiler.kernels.int8_convolution import Int8ConvSpec

MOST_STRIPS = 4
IN_FLIGHT = 10
"""Sums that hide the latency of a product, where there are registers for them."""


def flattened(spec: "Int8ConvSpec") -> "Int8ConvSpec":
    """A pointwise convolution as one row of all its pixels; others as they are."""
    from dataclasses import replace

    if spec.kernel == (1, 1) and spec.stride == (1, 1) and not any(spec.padding):
        return replace(spec, batch=1, size=(1, spec.batch * prod(spec.size)))
    return spec


class Plan:
    """How a convolution is cut: strips of outputs in groups, tiles of pixels, steps of the reduction."""

    def __init__(self, spec: "Int8ConvSpec", machine: Machine) -> None:
        self.spec = spec = flattened(spec)
        self.unit = unit_for(machine, spec.in_dtype)
        self.channels = spec.out_channels // spec.groups
        self.inputs = spec.in_channels // spec.groups
        self.steps = ceil(self.inputs / self.unit.depth)
        lanes = self.unit.lanes
        strips, pixels = _tile(self.unit, ceil(self.channels / lanes), spec.out_size[1])
        self.groups: list[Group] = []
        done = 0
        for run in balanced(ceil(self.channels / lanes), strips):
            self.groups.append(Group((lanes,) * run.size, done * lanes, run.count))
            done += run.size * run.count
        self.padded = done * lanes
        self.pixels = balanced(spec.out_size[1], pixels)
        self.per_strip = prod(spec.kernel) * self.steps * self.unit.depth * lanes


@lru_cache(maxsize=1024)
def plan(spec: "Int8ConvSpec", machine: Machine) -> Plan:
    """The plan, made once."""
    return Plan(spec, machine)


def _tile(unit: Unit, strips: int, row: int) -> tuple[int, int]:
    """Strips and pixels of a tile: the fewest loads a product, all sums in registers."""
    best = (1, 1)
    cost = float("inf")
    for b in range(1, min(strips, MOST_STRIPS) + 1):
        for p in range(1, row + 1):
            if b * p + b + 2 > unit.registers and b * p > 1:
                break
            products = b * p
            found = (products + p + b) / products * max(1.0, IN_FLIGHT / products) ** 0.5
            found *= ceil(strips / b) * b / strips
            if found < cost:
                best, cost = (b, p), found
    return best


def pack(spec: "Int8ConvSpec", role: str, value: NDArray[Any], machine: Machine) -> NDArray[Any]:
    """Weights to (group, strips, kernel row, column, step, strip, step's weights); the rest padded by group."""
    cut = plan(spec, machine)
    spec, unit = cut.spec, cut.unit
    if role == "sums":
        sums = value[0] + unit.moves * value[1]
        told = spec.shifted or unit.moves != 0
        return _by_group(sums if told else sums[:1], spec.groups, cut.padded).astype(np.int32)
    if role == "multipliers":
        each = np.broadcast_to(value, (spec.out_channels,))
        return _by_group(each, spec.groups, cut.padded).astype(np.int32)
    kh, kw = spec.kernel
    depth = cut.steps * unit.depth
    padded = np.zeros((spec.groups, cut.padded, depth, kh, kw), np.int8)
    padded[:, : cut.channels, : cut.inputs] = value.reshape(spec.groups, cut.channels, cut.inputs, kh, kw)
    parts = []
    for q in range(spec.groups):
        for group in cut.groups:
            for g in range(group.count):
                rows = padded[q, group.channel + g * group.width :][: group.width]
                strips = rows.reshape(len(group.widths), unit.lanes, cut.steps, unit.depth, kh, kw)
                parts.append(unit.arranged(strips.transpose(4, 5, 2, 0, 3, 1)).reshape(-1))
    return np.concatenate(parts)


def _by_group(values: NDArray[Any], groups: int, padded: int) -> NDArray[Any]:
    """(..., out) to (..., groups x padded outputs of a group)."""
    split = values.reshape(*values.shape[:-1], groups, -1)
    room = [(0, 0)] * (split.ndim - 1) + [(0, padded - split.shape[-1])]
    return np.pad(split, room).reshape(*values.shape[:-1], -1)


def emit(spec: "Int8ConvSpec", machine: Machine) -> KernelFunction:
    """The kernel."""
    kernel = _Dense(plan(spec, machine), machine)
    kernel.emit()
    return KernelFunction(kernel.code.function(kernel.operands))


class _Dense:
    def __init__(self, cut: Plan, machine: Machine) -> None:
        self.cut, self.machine, self.code = cut, machine, Code()
        code, spec = self.code, cut.spec
        self.spec, self.unit = spec, cut.unit
        self.cases = BorderCases(spec, spec.shifted or self.unit.moves != 0)
        outputs = spec.groups * cut.padded
        pixels, out_pixels = spec.batch * prod(spec.size), spec.batch * prod(spec.out_size)
        self.x = Operand(code, "x", pixels * spec.in_pitch, dtype=spec.in_dtype)
        self.weight = Operand(code, "weight", outputs * cut.per_strip // cut.unit.lanes, dtype="int8")
        self.sums = Operand(code, "sums", self.cases.count * outputs, dtype="int32")
        self.multipliers = Operand(code, "multipliers", outputs, dtype="int32")
        self.rule = Rule(code, machine, spec.dtype, spec.bounded)
        self.out = Operand(code, "out", out_pixels * spec.out_pitch, dtype=spec.dtype)
        self.operands = [self.x, self.weight, self.sums, self.multipliers, self.rule.operand, self.out]
        self.traffic = self.x.elements + self.weight.elements + self.out.elements

    def emit(self) -> None:
        spec, code, cut = self.spec, self.code, self.cut
        self.rule.read()
        shares = threads_for(self.machine, spec.macs // 4, self.traffic)
        loops = {
            "y": spec.out_size[0],
            "t": sum(run.count for run in cut.pixels) if spec.out_size[0] == 1 else 1,
            "g": sum(group.count for group in cut.groups),
        }
        even = [name for name, pieces in loops.items() if balance(pieces, shares) >= UNEVEN]
        axis = even[0] if even else max(loops, key=lambda name: balance(loops[name], shares))
        with shared(code, loops[axis], min(shares, loops[axis])) as share:

            def each(name: str, before: int, extent: int) -> Any:
                return (share if name == axis else Whole(code)).pieces(name, before, extent)

            with code.loop("q", spec.groups) as q:
                done = 0
                for group in cut.groups:
                    with (
                        each("g", done, group.count) as g,
                        code.loop("n", spec.batch) as n,
                        each("y", 0, spec.out_size[0]) as y,
                    ):
                        rows = kernel_rows(code, spec, y)
                        tiles = 0
                        for run in column_runs(spec, cut.pixels):
                            with each("t", tiles, run.count) as t:
                                self._tile(q, group, g, n, y, rows, run, run.start + t * run.size)
                            tiles += run.count
                    done += group.count

    def _tile(
        self, q: Expr, group: Group, g: Expr, n: Expr, y: Expr, rows: tuple[Expr, Expr], run: Run, column: Expr
    ) -> None:
        """`run.size` pixels from `column` by a group of strips."""
        code, spec, cut, unit = self.code, self.spec, self.cut, self.unit
        lanes, outputs = unit.lanes, spec.groups * cut.padded
        first = q * cut.padded + group.channel + g * group.width
        totals: list[list[Sum]] = []
        for b in range(len(group.widths)):
            totals.append([])
            for j in range(run.size):
                case = self.cases.of(*rows, column + j)
                total = Sum(code, f"sum{b}_{j}", lanes)
                total.set(self.sums.load(case * outputs + first + b * lanes, lanes))
                totals[-1].append(total)
        self._reduce(q, group, g, n, y, rows, run, column, totals)
        for b in range(len(group.widths)):
            multipliers = code.let(f"m{b}", self.multipliers.load(first + b * lanes, lanes))
            channel = group.channel + g * group.width + b * lanes
            there = min(lanes, cut.channels - channel) if isinstance(channel, int) else lanes
            if there <= 0:
                continue
            for j in range(run.size):
                pixel = (n * spec.out_size[0] + y) * spec.out_size[1] + column + j
                at = pixel * spec.out_pitch + q * cut.channels + channel
                value = self.rule.requantised(totals[b][j].get(), multipliers, lanes)
                self.rule.store(self.out, at, value, lanes, there)

    def _reduce(
        self, q: Expr, group: Group, g: Expr, n: Expr, y: Expr, rows: tuple[Expr, Expr], run: Run, column: Expr,
        totals: list[list[Sum]],
    ) -> None:  # fmt: skip
        code, spec, cut, unit = self.code, self.spec, self.cut, self.unit
        kw, strips = spec.kernel[1], len(group.widths)
        step_bytes = unit.depth * unit.lanes
        per_group = cut.per_strip * strips
        base = (q * cut.padded // unit.lanes + (group.channel // unit.lanes)) * cut.per_strip + g * per_group
        with code.loop("r", rows[1] - rows[0], rows[0]) as r:
            row = y * spec.stride[0] + r * spec.dilation[0] - spec.padding[0]
            start = code.let("start", (n * spec.size[0] + row) * spec.size[1] * spec.in_pitch + q * cut.inputs)
            for s in range(kw):
                users = [j for j in range(run.size) if not isinstance(column, int) or inside(spec, column + j, s)]
                if not users:
                    continue
                w_at = code.let("w_at", base + (r * kw + s) * cut.steps * strips * step_bytes)
                places = {
                    j: code.let(
                        f"at{j}",
                        start
                        + ((column + j) * spec.stride[1] + s * spec.dilation[1] - spec.padding[1]) * spec.in_pitch,
                    )
                    for j in users
                }
                whole, rest = divmod(cut.inputs, unit.depth)
                if rest and spec.groups == 1 and spec.in_pitch >= cut.steps * unit.depth:
                    whole, rest = whole + 1, 0  # what lies between the channels and the pitch meets weights of zero
                with code.loop("k", whole) as k:
                    self._step(users, places, w_at, k, unit.depth, totals)
                if rest:
                    self._step(users, places, w_at, whole, rest, totals)

    def _step(
        self, users: list[int], places: dict[int, Expr], w_at: Expr, k: Expr, count: int, totals: list[list[Sum]]
    ) -> None:
        code, unit = self.code, self.unit
        step_bytes = unit.depth * unit.lanes
        values = {j: unit.activations(code, self.x, places[j] + k * unit.depth, count) for j in users}
        for b in range(len(totals)):
            w = unit.weights(code, self.weight, w_at + (k * len(totals) + b) * step_bytes)
            for j in users:
                unit.add(totals[b][j], values[j], w)
