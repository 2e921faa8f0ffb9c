"""Copies between channel packings.

Between plain and packed, squares of v pixels by v channels are transposed in registers (log2(v) rounds of
two-vector shuffles); everything else, and what is left at the end of a plane, goes value by value.
"""

from collections.abc import Sequence
from math import ceil, prod

from tvm import tirx

from splitkit.compiler.codegen.code import Code, Expr, Operand, divide, splat
from splitkit.compiler.codegen.parallel import shared, threads_for
from splitkit.compiler.machine import Machine
from splitkit.compiler.spec import LayoutSpec


def layout(spec: LayoutSpec, machine: Machine) -> tuple[Code, list[Operand]]:
    """Channels past C of the output are zero."""
    code, pixels = Code(), prod(spec.size)
    planes_in, planes_out = (spec.batch * ceil(spec.channels / v) for v in (spec.in_block, spec.out_block))
    x = Operand(code, "x", planes_in * pixels * spec.in_block)
    out = Operand(code, "out", planes_out * pixels * spec.out_block)
    v = max(spec.in_block, spec.out_block)
    if min(spec.in_block, spec.out_block) == 1 and v > 1:
        full, rest = divmod(spec.channels, v)
        blocks = full + (rest > 0)
        threads = threads_for(machine, 0, 4 * (x.elements + out.elements))
        with shared(code, blocks, threads) as share, code.loop("n", spec.batch) as n:
            if full:
                with share.pieces("b", 0, full) as b:
                    _block(code, spec, x, out, n, b, v)
            if rest:
                with share.pieces("rest", full, 1):
                    _block(code, spec, x, out, n, full, rest)
    else:
        _by_value(code, spec, x, out)
    return code, [x, out]


def _block(code: Code, spec: LayoutSpec, x: Operand, out: Operand, n: Expr, block: Expr, channels: int) -> None:
    """Channel block `block`, of which `channels` exist."""
    pixels, v = prod(spec.size), max(spec.in_block, spec.out_block)
    plain = (n * spec.channels + block * v) * pixels
    packed = (n * ceil(spec.channels / v) + block) * (pixels * v)
    packing = spec.out_block > 1
    with code.loop("t", pixels // v) as t:
        if packing:
            rows = [x.load(plain + c * pixels + t * v, v) if c < channels else splat(0.0, v) for c in range(v)]
            for p, row in enumerate(_transposed(code, rows)):
                out.store(packed + (t * v + p) * v, row, v)
        else:
            rows = [x.load(packed + (t * v + p) * v, v) for p in range(v)]
            for c, row in enumerate(_transposed(code, rows)[:channels]):
                out.store(plain + c * pixels + t * v, row, v)
    with code.loop("p", pixels % v, pixels - pixels % v) as p:
        for c in range(v if packing else channels):
            if packing:
                value = x.load(plain + c * pixels + p) if c < channels else splat(0.0, 1)
                out.store(packed + p * v + c, value)
            else:
                out.store(plain + c * pixels + p, x.load(packed + p * v + c))


def _transposed(code: Code, rows: Sequence[Expr]) -> list[Expr]:
    """Transpose of a square of vectors: swap blocks of 1, 2, 4, ... lanes between rows as far apart."""
    size, current = len(rows), [code.let(f"row{i}", row) for i, row in enumerate(rows)]
    step = 1
    while step < size:
        swapped = list(current)
        for i in range(size):
            if i & step:
                continue
            a, b = current[i], current[i + step]
            low = [lane if not lane & step else size + lane - step for lane in range(size)]
            high = [lane + step if not lane & step else size + lane for lane in range(size)]
            swapped[i] = code.let(f"row{i}", _shuffle(a, b, low))
            swapped[i + step] = code.let(f"row{i + step}", _shuffle(a, b, high))
        current, step = swapped, step * 2
    return current


def _shuffle(a: Expr, b: Expr, lanes: Sequence[int]) -> Expr:
    return tirx.Shuffle([a, b], [tirx.IntImm("int32", lane) for lane in lanes])


def _by_value(code: Code, spec: LayoutSpec, x: Operand, out: Operand) -> None:
    """Any packing to any other."""
    pixels, vi, vo = prod(spec.size), spec.in_block, spec.out_block
    in_blocks, out_blocks = ceil(spec.channels / vi), ceil(spec.channels / vo)
    with (
        code.loop("n", spec.batch) as n,
        code.loop("b", out_blocks) as b,
        code.loop("p", pixels) as p,
        code.loop("c", vo) as c,
    ):
        channel = b * vo + c
        at = ((n * out_blocks + b) * pixels + p) * vo + c
        source = code.let("source", tirx.Min(channel, tirx.IntImm("int32", spec.channels - 1)))
        block = divide(source, vi)
        value = x.load(((n * in_blocks + block) * pixels + p) * vi + source - block * vi)
        if spec.channels % vo:
            inside = tirx.LT(channel, tirx.IntImm("int32", spec.channels))
            value = tirx.Select(inside, value, splat(0.0, 1))
        out.store(at, value)
