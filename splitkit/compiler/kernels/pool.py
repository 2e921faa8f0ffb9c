"""Pooling on packed tensors, channel block by channel block; borders are clipped as in a depthwise convolution."""

from math import ceil, prod

from tvm import tirx

from splitkit.compiler.codegen.borders import column_runs, inside, kernel_rows, reached
from splitkit.compiler.codegen.code import Code, Expr, Operand, Register, splat
from splitkit.compiler.codegen.parallel import UNEVEN, Whole, balance, shared, threads_for
from splitkit.compiler.codegen.tiling import Run, balanced
from splitkit.compiler.machine import Machine
from splitkit.compiler.spec import ConvSpec, PoolSpec

LOWEST = -3.4028234663852886e38
"""What max pooling starts from: the most negative float32."""
PARTIAL_SUMS = 8
"""Independent sums of a global pool, which hide the latency of an addition."""


def pool(spec: PoolSpec, machine: Machine) -> tuple[Code, list[Operand], int]:
    """Input (N, ceil(C/v), H, W, v); output the same with the pooled size. Returns the workspace in bytes too."""
    code, v = Code(), spec.block
    planes = spec.batch * ceil(spec.channels / v)
    x = Operand(code, "x", planes * prod(spec.size) * v)
    out = Operand(code, "out", planes * prod(spec.out_size) * v)
    threads = threads_for(machine, 0, 4 * (x.elements + out.elements))
    if spec.mode == "global_avg":
        return _global(code, spec, x, out, planes, threads)
    rows = spec.out_size[0]
    by_rows = balance(rows, threads) >= min(UNEVEN, balance(planes, threads))
    with shared(code, rows if by_rows else planes, threads) as share:
        outer, inner = (Whole(code), share) if by_rows else (share, Whole(code))
        with outer.pieces("b", 0, planes) as plane, inner.pieces("y", 0, rows) as y:
            _row_of_windows(code, spec, machine, x, out, plane, y)
    return code, [x, out], 0


def _global(
    code: Code, spec: PoolSpec, x: Operand, out: Operand, planes: int, threads: int
) -> tuple[Code, list[Operand], int]:
    """Averages of whole planes."""
    pixels, v = prod(spec.size), spec.block
    with shared(code, planes, threads) as share, share.pieces("b", 0, planes) as plane:
        out.store(plane * v, _sum(code, x, plane * pixels * v, pixels, v) * splat(1.0 / pixels, v), v)
    return code, [x, out], 0


def _sum(code: Code, x: Operand, start: Expr, pixels: int, v: int) -> Expr:
    """Sum of the pixels of the plane that begins at `start`."""
    sums = [code.register(f"sum{i}", v) for i in range(min(PARTIAL_SUMS, pixels))]
    for register in sums:
        register.set(splat(0.0, v))
    with code.loop("p", pixels // len(sums)) as p:
        for i, register in enumerate(sums):
            register.set(register.get() + x.load(start + (p * len(sums) + i) * v, v))
    for p in range(pixels - pixels % len(sums), pixels):
        sums[0].set(sums[0].get() + x.load(start + p * v, v))
    terms = [register.get() for register in sums]
    while len(terms) > 1:
        terms = [code.let("s", sum(terms[i : i + 2][1:], terms[i])) for i in range(0, len(terms), 2)]
    return terms[0]


def _row_of_windows(
    code: Code, spec: PoolSpec, machine: Machine, x: Operand, out: Operand, plane: Expr, y: Expr
) -> None:
    window = _as_conv(spec)
    v, (height, width) = spec.block, spec.out_size
    per_vector = max(1, v // machine.lanes)
    tiles = balanced(width, max(1, min(16, machine.registers // per_vector - 3)))
    low, high = kernel_rows(code, window, y)
    for run in column_runs(window, tiles):
        with code.loop("t", run.count) as t:
            column = run.start + t * run.size
            acc = [code.register(f"acc{j}", v) for j in range(run.size)]
            for register in acc:
                register.set(splat(LOWEST if spec.mode == "max" else 0.0, v))
            with code.loop("r", high - low, low) as r:
                _row(code, spec, window, x, acc, plane, y, r, run, column)
            for j, register in enumerate(acc):
                value = register.get()
                if spec.mode == "avg":
                    value = value * _share(spec, window, high - low, column + j)
                out.store(((plane * height + y) * width + column + j) * v, value, v)


def _row(
    code: Code,
    spec: PoolSpec,
    window: ConvSpec,
    x: Operand,
    acc: list[Register],
    plane: Expr,
    y: Expr,
    r: Expr,
    run: Run,
    column: Expr,
) -> None:
    """Take row `r` of the window into the pixels of one tile."""
    v, (height, width), stride = spec.block, spec.size, spec.stride
    row = y * stride[0] + r - spec.padding[0]
    at = code.let("at", ((plane * height + row) * width + column * stride[1] - spec.padding[1]) * v)
    for offset, users in reached(window, run.size, column):
        value = code.let(f"x{offset}", x.load(at + offset * v, v))
        for j, _ in users:
            acc[j].set(tirx.Max(acc[j].get(), value) if spec.mode == "max" else acc[j].get() + value)


def _share(spec: PoolSpec, window: ConvSpec, rows: Expr, column: Expr) -> Expr:
    """One over the number of values that an average is taken of."""
    if spec.count_include_pad:
        return splat(1.0 / prod(spec.kernel), spec.block)
    columns = spec.kernel[1]
    if isinstance(column, int):
        columns = sum(inside(window, column, s) for s in range(spec.kernel[1]))
    count = rows * columns
    if isinstance(count, int):
        return splat(1.0 / max(count, 1), spec.block)
    return splat(tirx.FloatImm("float32", 1.0) / tirx.Cast("float32", count), spec.block)


def _as_conv(spec: PoolSpec) -> ConvSpec:
    """The convolution whose windows lie where the pool's do."""
    return ConvSpec(spec.batch, spec.channels, spec.channels, spec.size, spec.kernel, spec.stride, spec.padding)
