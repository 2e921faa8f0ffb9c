"""Convolutions without groups: pointwise and dense k x k are one kernel, a register tile under a reduction.

The padded border is never copied: rows clip the kernel's rows by their position, and tiles that touch the left or right
edge are emitted of their own with the products that fall outside left out. A pointwise convolution of stride 1 is the
case of one long row.
"""

from dataclasses import replace
from math import ceil, prod

import numpy as np
from numpy.typing import NDArray

from splitkit.exporters.tvm.machine import Machine
from splitkit.exporters.tvm.schedules.borders import column_runs, inside, kernel_rows, touches_edge
from splitkit.exporters.tvm.schedules.code import Code, Expr, Operand, Register, splat
from splitkit.exporters.tvm.schedules.operands import ConvOperands
from splitkit.exporters.tvm.schedules.tiling import Group, Run, Tiling, panels, tiling
from splitkit.exporters.tvm.spec import ConvSpec

UNROLLED_PRODUCTS = 320
"""Reductions of fewer multiply-adds per kernel row are written out."""


def conv(spec: ConvSpec, machine: Machine) -> tuple[Code, list[Operand]]:
    """Emit the kernel. Weights as `pack` lays them out."""
    kernel = DenseKernel(flattened(spec), machine)
    kernel.emit()
    return kernel.code, kernel.operands.in_order


def plan(spec: ConvSpec, machine: Machine) -> Tiling:
    """Register tiles of a convolution."""
    spec = flattened(spec)
    height, width = spec.out_size
    depth = spec.in_channels * prod(spec.kernel)
    return tiling(spec.out_channels, spec.out_block, width, spec.batch * height, depth, machine)


def flattened(spec: ConvSpec) -> ConvSpec:
    """A pointwise convolution as one row of all its pixels; others as they are."""
    if spec.kernel == (1, 1) and spec.stride == (1, 1) and not any(spec.padding):
        return replace(spec, size=(1, prod(spec.size)))
    return spec


def pack(spec: ConvSpec, weight: NDArray[np.float32], machine: Machine) -> NDArray[np.float32]:
    """OIHW to the panels of the tiling, each (kh, kw, in_channels, width)."""
    return panels(weight, plan(spec, machine))


class DenseKernel:
    """State of the emission of one kernel: operands, tiling, and where in the loops we are."""

    def __init__(self, spec: ConvSpec, machine: Machine) -> None:
        self.spec, self.machine = spec, machine
        self.tiling = plan(spec, machine)
        self.code = Code()
        self.depth = spec.in_channels * prod(spec.kernel)
        self.operands = ConvOperands(
            self.code, spec, self.depth * self.tiling.padded_channels, self.tiling.padded_channels
        )

    def emit(self) -> None:
        spec, code = self.spec, self.code
        for group in self.tiling.groups:
            with (
                code.loop("g", group.count) as g,
                code.loop("n", spec.batch) as n,
                code.loop("y", spec.out_size[0]) as y,
            ):
                for run in column_runs(spec, self.tiling.pixels):
                    with code.loop("t", run.count) as t:
                        self._tile(group, g, n, y, run, run.start + t * run.size)

    def _tile(self, group: Group, g: Expr, n: Expr, y: Expr, run: Run, column: Expr) -> None:
        """One tile: `run.size` pixels from `column` of row `y` by the strips of group number `g` of `group`."""
        code = self.code
        channel = group.channel + g * group.width
        accumulators = []
        for b, width in enumerate(group.widths):
            first = channel + group.offset(b)
            start = self.operands.bias.load(first, width) if self.operands.bias else splat(0.0, width)
            start = code.let(f"bias{b}", start) if self.operands.bias else start
            accumulators.append([code.register(f"acc{b}_{j}", width) for j in range(run.size)])
            for register in accumulators[-1]:
                register.set(start)
        self._reduce(group, g, n, y, run, column, accumulators)
        for b, width in enumerate(group.widths):
            first = channel + group.offset(b)
            for j, register in enumerate(accumulators[b]):
                self.operands.store(register.get(), first, width, n, y, column + j)

    def _reduce(
        self, group: Group, g: Expr, n: Expr, y: Expr, run: Run, column: Expr, acc: list[list[Register]]
    ) -> None:
        code, spec = self.code, self.spec
        (height, width), kw = spec.size, spec.kernel[1]
        panel = group.channel * self.depth + g * (group.width * self.depth)
        low, high = kernel_rows(code, spec, y)
        in_blocks = ceil(spec.in_channels / spec.in_block)
        with code.loop("r", high - low, low) as r:
            row = y * spec.stride[0] + r * spec.dilation[0] - spec.padding[0]
            corner = column * spec.stride[1] - spec.padding[1]
            x_at = code.let("x_at", ((n * in_blocks * height + row) * width + corner) * spec.in_block)
            w_at = code.let("w_at", panel + r * (kw * spec.in_channels * group.width))
            written_out = kw * spec.in_channels * run.size * len(group.widths) <= UNROLLED_PRODUCTS
            edge = isinstance(column, int) and touches_edge(spec, column, run.size)
            if edge or written_out or kw == 1:
                for s in range(kw):
                    valid = [j for j in range(run.size) if not edge or inside(spec, column + j, s)]
                    self._channels(group, s, x_at, w_at, valid, acc, written_out)
            else:
                with code.loop("s", kw) as s:
                    self._channels(group, s, x_at, w_at, list(range(run.size)), acc, False)

    def _channels(
        self,
        group: Group,
        s: Expr,
        x_at: Expr,
        w_at: Expr,
        valid: list[int],
        acc: list[list[Register]],
        written_out: bool,
    ) -> None:
        """Reduce over the input channels for column `s` of the kernel, for the pixels that it reaches."""
        if not valid:
            return
        code, spec = self.code, self.spec
        v, plane = spec.in_block, prod(spec.size) * spec.in_block
        x_at = x_at + s * (spec.dilation[1] * v)
        w_at = w_at + s * (spec.in_channels * group.width)

        def product(block: Expr, lane: Expr) -> None:
            weights, at = [], w_at + (block * v + lane) * group.width
            for b, width in enumerate(group.widths):
                offset = group.offset(b)
                weights.append(code.let(f"w{b}", self.operands.weight.load(at + offset, width)))
            for j in valid:
                x = self.operands.x.load(x_at + block * plane + lane + j * (spec.stride[1] * v))
                x = code.let(f"x{j}", x)
                for b, width in enumerate(group.widths):
                    acc[b][j].add_product(splat(x, width), weights[b])

        full, rest = divmod(spec.in_channels, v)
        if written_out:
            for c in range(spec.in_channels):
                product(*divmod(c, v))
            return
        with code.loop("cb", full) as block, code.loop("ci", v) as lane:
            product(block, lane)
        with code.loop("ct", rest) as lane:
            product(full, lane)
