"""Depthwise convolutions: a row of output pixels of one channel block in registers.

Every input vector is loaded once per kernel row and feeds all the products it takes part in. Rows and columns at the
border are clipped, never padded.
"""

from math import ceil, prod
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from splitkit.compiler.codegen.borders import column_runs, kernel_rows, reached
from splitkit.compiler.codegen.code import Code, Expr, Register, divide, splat
from splitkit.compiler.codegen.parallel import UNEVEN, Whole, balance, shared, threads_for
from splitkit.compiler.codegen.tiling import Run, Tile, balanced
from splitkit.compiler.kernels.conv_operands import ConvOperands
from splitkit.compiler.kernels.protocol import KernelFunction
from splitkit.compiler.machine import Machine

if TYPE_CHECKING:
    from splitkit.compiler.kernels.convolution import ConvSpec

MOST_PIXELS = 16


def applies(spec: "ConvSpec") -> bool:
    """Whether this is how the convolution becomes code."""
    return spec.family == "depthwise" and spec.in_block == spec.out_block and not spec.input_scale


def pack(spec: "ConvSpec", weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """(C, 1, kh, kw) to (ceil(C/v), kh, kw, v)."""
    blocks, v = ceil(spec.out_channels / spec.out_block), spec.out_block
    padded = np.zeros((blocks * v, *spec.kernel), np.float32)
    padded[: spec.out_channels] = weight[:, 0]
    return np.ascontiguousarray(padded.reshape(blocks, v, *spec.kernel).transpose(0, 2, 3, 1))


def pack_bias(spec: "ConvSpec", bias: NDArray[np.float32]) -> NDArray[np.float32]:
    """(out,) padded with zeros to whole blocks."""
    return np.pad(bias, (0, -len(bias) % spec.out_block))


def plan(spec: "ConvSpec", machine: Machine) -> tuple[Run, ...]:
    """Tiles of a row of output pixels."""
    return balanced(spec.out_size[1], spec.tile.pixels if spec.tile else _most_pixels(spec, machine))


def emit(spec: "ConvSpec", machine: Machine) -> KernelFunction:
    """The kernel. Weights as `pack` lays them out; bias padded to whole blocks."""
    code = Code()
    v, blocks = spec.out_block, ceil(spec.out_channels / spec.out_block)
    ops = ConvOperands(code, spec, blocks * v * prod(spec.kernel), blocks * v)
    tiles = plan(spec, machine)
    planes, rows = spec.batch * blocks, spec.out_size[0]
    threads = threads_for(machine, spec.macs, 4 * (ops.x.elements + ops.out.elements))
    by_rows = balance(rows, threads) >= min(UNEVEN, balance(planes, threads))
    with shared(code, rows if by_rows else planes, threads) as share:
        outer, inner = (Whole(code), share) if by_rows else (share, Whole(code))
        with outer.pieces("plane", 0, planes) as plane:
            n = divide(plane, blocks) if spec.batch > 1 else 0
            b = plane - n * blocks
            bias = code.let("bias", ops.bias.load(b * v, v)) if ops.bias else splat(0.0, v)
            with inner.pieces("y", 0, rows) as y:
                low, high = kernel_rows(code, spec, y)
                for run in column_runs(spec, tiles):
                    with code.loop("t", run.count) as t:
                        column = run.start + t * run.size
                        acc = [code.register(f"acc{j}", v) for j in range(run.size)]
                        for register in acc:
                            register.set(bias)
                        with code.loop("r", high - low, low) as r:
                            _row(code, spec, ops, acc, plane, b, y, r, run, column)
                        for j, register in enumerate(acc):
                            ops.store(register.get(), v, v, n, [(b, 0)], y, column + j)
    return KernelFunction(code.function(ops.in_order))


def candidates(spec: "ConvSpec", machine: Machine) -> tuple[Tile, ...]:
    """Tiles worth a try, the most promising first."""
    most = min(_most_pixels(spec, machine), spec.out_size[1])
    return tuple(Tile(1, pixels) for pixels in range(most, 0, -1))


def _most_pixels(spec: "ConvSpec", machine: Machine) -> int:
    per_vector = max(1, spec.out_block // machine.lanes)
    return max(1, min(MOST_PIXELS, machine.registers // per_vector - spec.kernel[1] - 2))


def _row(
    code: Code,
    spec: "ConvSpec",
    ops: ConvOperands,
    acc: list[Register],
    plane: Expr,
    block: Expr,
    y: Expr,
    r: Expr,
    run: Run,
    column: Expr,
) -> None:
    """Products of row `r` of the kernel with the pixels of one tile."""
    v, (height, width), (kh, kw) = spec.out_block, spec.size, spec.kernel
    row = y * spec.stride[0] + r * spec.dilation[0] - spec.padding[0]
    at = code.let("at", ((plane * height + row) * width + column * spec.stride[1] - spec.padding[1]) * v)
    w_at = code.let("w_at", (block * kh + r) * (kw * v))
    weights = [code.let(f"w{s}", ops.weight.load(w_at + s * v, v)) for s in range(kw)]
    for offset, users in reached(spec, run.size, column):
        x = code.let(f"x{offset}", ops.x.load(at + offset * v, v))
        for j, s in users:
            acc[j].add_product(x, weights[s])
