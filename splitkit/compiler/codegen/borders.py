"""Where a window hangs over the image: rows are clipped when the kernel runs, columns when it is generated."""

from typing import Any, Protocol

from tvm import tirx

from splitkit.compiler.codegen.code import Code, Expr, divide, integer
from splitkit.compiler.codegen.tiling import Run


class Window(Protocol):
    """Windows that move over an image: what convolutions and pools have in common."""

    @property
    def size(self) -> tuple[int, int]: ...
    @property
    def kernel(self) -> tuple[int, int]: ...
    @property
    def stride(self) -> tuple[int, int]: ...
    @property
    def padding(self) -> tuple[int, int, int, int]: ...
    @property
    def dilation(self) -> tuple[int, int]: ...
    @property
    def out_size(self) -> tuple[int, int]: ...


def kernel_rows(code: Code, spec: Window, y: Expr) -> tuple[Expr, Expr]:
    """First and past-the-last kernel row that meets the image at output row `y`."""
    (kh, _), (height, _), (stride, _), (dilation, _) = spec.kernel, spec.size, spec.stride, spec.dilation
    top = spec.padding[0]
    if isinstance(y, int):
        rows = [r for r in range(kh) if 0 <= y * stride + r * dilation - top < height]
        return (rows[0], rows[-1] + 1) if rows else (0, 0)
    low: Any = 0
    high: Any = kh
    if top:
        missing = tirx.Max(integer(top) - y * stride, integer(0))
        low = code.let("r0", divide(missing + (dilation - 1), dilation))
    if (spec.out_size[0] - 1) * stride + (kh - 1) * dilation - top >= height:
        left = tirx.Max(integer(height + top) - y * stride, integer(0))
        high = code.let("r1", tirx.Min(divide(left + (dilation - 1), dilation), integer(kh)))
    return low, high


def inside(spec: Window, column: int, s: int) -> bool:
    """Whether column `s` of the kernel meets the image at output column `column`."""
    return 0 <= column * spec.stride[1] + s * spec.dilation[1] - spec.padding[1] < spec.size[1]


def touches_edge(spec: Window, start: int, size: int) -> bool:
    """Whether a window of these output columns hangs over the left or right edge."""
    return not inside(spec, start, 0) or not inside(spec, start + size - 1, spec.kernel[1] - 1)


def reached(spec: Window, size: int, column: Expr) -> list[tuple[int, list[tuple[int, int]]]]:
    """Input columns under one kernel row of a tile of `size` pixels from `column`, and what each takes part in.

    Returns (offset from the first input column, [(pixel of the tile, column of the kernel)]), leaving out what falls
    outside the image if `column` is a number.
    """
    users: dict[int, list[tuple[int, int]]] = {}
    for j in range(size):
        for s in range(spec.kernel[1]):
            if not isinstance(column, int) or inside(spec, column + j, s):
                users.setdefault(j * spec.stride[1] + s * spec.dilation[1], []).append((j, s))
    return sorted(users.items())


def column_runs(spec: Window, tiles: tuple[Run, ...]) -> list[Run]:
    """The tiles of a row with those that touch an edge singled out, so that their position is known."""
    runs: list[Run] = []
    for run in tiles:
        starts = [run.start + i * run.size for i in range(run.count)]
        inner = [i for i, start in enumerate(starts) if not touches_edge(spec, start, run.size)]
        first, last = (inner[0], inner[-1] + 1) if inner else (run.count, run.count)
        runs += [Run(start, run.size, 1) for start in starts[:first]]
        runs += [Run(starts[first], run.size, last - first)] if last > first else []
        runs += [Run(start, run.size, 1) for start in starts[last:]]
    return runs
