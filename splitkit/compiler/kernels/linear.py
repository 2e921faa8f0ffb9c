"""Fully connected layers: at batch 1 a matrix-vector product that streams the weights once.

The weights lie in panels as wide as the accumulators of a tile, so that a tile reads one contiguous stream. Larger
batches add rows to the register tile.
"""

import numpy as np
from numpy.typing import NDArray

from splitkit.compiler.codegen.code import Code, Expr, Operand, Register, part, splat
from splitkit.compiler.codegen.epilogue import finish
from splitkit.compiler.codegen.parallel import shared, threads_for
from splitkit.compiler.codegen.tiling import Group, Tiling, panels, ranked_tiles, tiling
from splitkit.compiler.machine import Machine
from splitkit.compiler.spec import LinearSpec, Tile


def plan(spec: LinearSpec, machine: Machine) -> Tiling:
    """Register tiles: rows of the batch by strips of outputs."""
    return tiling(spec.out_features, 1, spec.batch, 1, spec.in_features, machine, tile=spec.tile)


def candidates(spec: LinearSpec, machine: Machine) -> tuple[Tile, ...]:
    """Tiles worth a try, the most promising first."""
    return ranked_tiles(spec.out_features, 1, spec.batch, 1, spec.in_features, machine)


def pack(spec: LinearSpec, weight: NDArray[np.float32], machine: Machine) -> NDArray[np.float32]:
    """(out, in) to, for each group of strips in turn, (in, width of the group)."""
    return panels(weight[:, :, None, None], plan(spec, machine))


def linear(spec: LinearSpec, machine: Machine) -> tuple[Code, list[Operand]]:
    """Emit the kernel. Weights as `pack` lays them out; bias padded to the strips."""
    code, tiles = Code(), plan(spec, machine)
    x = Operand(code, "x", spec.batch * spec.in_features)
    weight = Operand(code, "weight", spec.in_features * tiles.padded_channels)
    bias = Operand(code, "bias", tiles.padded_channels) if spec.epilogue.bias else None
    out = Operand(code, "out", spec.batch * spec.out_features)
    threads = threads_for(machine, spec.macs, 4 * weight.elements)
    with shared(code, sum(group.count for group in tiles.groups), threads) as share:
        done = 0
        for group in tiles.groups:
            with share.pieces("g", done, group.count) as g:
                for run in tiles.pixels:
                    with code.loop("t", run.count) as t:
                        row = run.start + t * run.size
                        acc = _reduce(code, spec, group, g, x, weight, bias, row, run.size)
                        _store(code, spec, group, g, out, row, acc)
            done += group.count
    return code, [operand for operand in (x, weight, bias, out) if operand]


def _reduce(
    code: Code,
    spec: LinearSpec,
    group: Group,
    g: Expr,
    x: Operand,
    weight: Operand,
    bias: Operand | None,
    row: Expr,
    rows: int,
) -> list[list[Register]]:
    """Accumulators by strip and row."""
    acc = []
    for b, width in enumerate(group.widths):
        channel = group.channel + g * group.width + group.offset(b)
        start = code.let(f"bias{b}", bias.load(channel, width)) if bias else splat(0.0, width)
        acc.append([code.register(f"acc{b}_{j}", width) for j in range(rows)])
        for register in acc[-1]:
            register.set(start)
    panel = code.let("panel", (group.channel + g * group.width) * spec.in_features)
    with code.loop("i", spec.in_features) as i:
        values = [code.let(f"x{j}", x.load((row + j) * spec.in_features + i)) for j in range(rows)]
        for b, width in enumerate(group.widths):
            w = code.let(f"w{b}", weight.load(panel + i * group.width + group.offset(b), width))
            for j, value in enumerate(values):
                acc[b][j].add_product(splat(value, width), w)
    return acc


def _store(
    code: Code, spec: LinearSpec, group: Group, g: Expr, out: Operand, row: Expr, acc: list[list[Register]]
) -> None:
    for b, width in enumerate(group.widths):
        channel = group.channel + g * group.width + group.offset(b)
        there = width if not isinstance(channel, int) else min(width, spec.out_features - channel)
        for j, register in enumerate(acc[b]):
            value = code.let("y", finish(code, spec.epilogue, register.get(), None, None, width))
            at, done = (row + j) * spec.out_features + channel, 0
            while done < there:
                lanes = 1 << ((there - done).bit_length() - 1)
                out.store(at + done, part(value, done, lanes, width), lanes)
                done += lanes
