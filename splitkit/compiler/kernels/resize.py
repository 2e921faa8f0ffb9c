"""Bilinear resizing, separable: a row between two rows of the image, then columns between two of its columns.

Where an output pixel lies between two input pixels is known when the kernel is generated. A vector of output columns is
therefore picked from the one or two vectors of the row that hold its neighbours by shuffles, not gathered; how far it
lies from the left one is a constant. The row is kept in workspace, which is small enough for the first-level cache.
"""

from math import ceil, floor
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm import tirx

from splitkit.compiler.codegen.code import Code, Expr, Operand, divide, fma, integer, splat, vector_type
from splitkit.compiler.codegen.parallel import shared, threads_for
from splitkit.compiler.machine import Machine
from splitkit.compiler.spec import ResizeSpec

ALIGNED = 16
"""Elements in 64 bytes, the widest vector."""


def fractions(spec: ResizeSpec, axis: int) -> NDArray[np.float32]:
    """How far each output row (axis 0) or column (axis 1) lies from the input's before it, in [0, 1)."""
    return np.array([position % 1 for position in _positions(spec, axis)], np.float32)


def emit_resize(spec: ResizeSpec, machine: Machine) -> tuple[Any, int]:
    """The private `tirx.PrimFunc`, and its workspace in bytes."""
    kernel = _Resize(spec, machine)
    kernel.emit()
    return kernel.code.function(kernel.operands), 4 * kernel.row.elements * kernel.copies


def _ratio(spec: ResizeSpec, axis: int) -> tuple[int, int, int]:
    """Numbers a, b, d: output pixel i lies at (a i + b) / d of the input, before it is clipped to the image."""
    size, out = spec.size[axis], spec.out_size[axis]
    match spec.coordinates:
        case "half_pixel":
            return 2 * size, size - out, 2 * out
        case "align_corners":
            return size - 1, 0, max(out - 1, 1)
    return size, 0, out


def _positions(spec: ResizeSpec, axis: int) -> list[float]:
    a, b, d = _ratio(spec, axis)
    last = spec.size[axis] - 1
    return [min(max((a * i + b) / d, 0.0), float(last)) for i in range(spec.out_size[axis])]


class _Resize:
    def __init__(self, spec: ResizeSpec, machine: Machine) -> None:
        self.spec, self.lanes = spec, machine.lanes
        self.code = Code()
        inputs, outputs = (spec.planes * h * w for h, w in (spec.size, spec.out_size))
        self.threads = threads_for(machine, 4 * outputs, inputs + 4 * outputs)
        self.copies = machine.threads if min(self.threads, spec.out_size[0]) > 1 else 1
        self.x = Operand(self.code, "x", inputs, dtype=spec.dtype)
        self.down = Operand(self.code, "down", spec.out_size[0])
        self.right = Operand(self.code, "right", spec.out_size[1])
        self.out = Operand(self.code, "out", outputs)
        padded = (ceil(spec.size[1] / ALIGNED) + 2) * ALIGNED  # two vectors are loaded from any column
        self.row = Operand(self.code, "row", padded, self.copies)
        self.operands = [self.x, self.down, self.right, self.out, self.row]
        self.columns = [floor(position) for position in _positions(spec, 1)]

    def emit(self) -> None:
        height = self.spec.out_size[0]
        with (
            shared(self.code, height, self.threads) as share,
            self.code.loop("plane", self.spec.planes) as plane,
            share.pieces("y", 0, height) as y,
        ):
            self._between_rows(plane, y)
            self._between_columns((plane * height + y) * self.spec.out_size[1])

    def _between_rows(self, plane: Expr, y: Expr) -> None:
        """The row of the input at output row `y`, into workspace."""
        code, (height, width) = self.code, self.spec.size
        a, b, d = _ratio(self.spec, 0)
        at = tirx.Max(integer(y) * a + b, integer(0))
        above = code.let("above", tirx.Min(divide(at, d), integer(height - 1)))
        below = code.let("below", tirx.Min(above + 1, integer(height - 1)))
        share = code.let("share", self.down.load(y))
        lanes = 1 << (min(self.lanes, width).bit_length() - 1)
        starts = [code.let("first", (plane * height + line) * width) for line in (above, below)]

        def some(column: Expr, lanes: int) -> None:
            first, second = (code.let("line", self._pixels(start + column, lanes)) for start in starts)
            self.row.store(column, fma(second - first, splat(share, lanes), first, lanes), lanes)

        with code.loop("v", width // lanes) as v:
            some(v * lanes, lanes)
        done = width - width % lanes
        while done < width:
            lanes = 1 << ((width - done).bit_length() - 1)
            some(done, lanes)
            done += lanes

    def _pixels(self, at: Expr, lanes: int) -> Expr:
        loaded = self.x.load(at, lanes)
        return loaded if self.spec.dtype == "float32" else tirx.Cast(vector_type(lanes), loaded)

    def _between_columns(self, out: Expr) -> None:
        """One row of the output from the row in workspace."""
        done, width = 0, self.spec.out_size[1]
        while done < width:
            lanes = 1 << (min(self.lanes, width - done).bit_length() - 1)
            while lanes > 1 and self.columns[done + lanes - 1] + 1 - self.columns[done] >= 2 * self.lanes:
                lanes //= 2
            left, right = self._neighbours(self.columns[done : done + lanes])
            value = fma(right - left, self.right.load(done, lanes), left, lanes)
            if (self.spec.scale, self.spec.shift) != (1.0, 0.0):
                value = fma(value, splat(self.spec.scale, lanes), splat(self.spec.shift, lanes), lanes)
            self.out.store(out + done, value, lanes)
            done += lanes

    def _neighbours(self, columns: list[int]) -> tuple[Expr, Expr]:
        """Vectors of the values at some columns, and at the columns to the right of them."""
        code, last = self.code, self.spec.size[1] - 1
        after = [min(column + 1, last) for column in columns]
        if len(columns) == 1:
            return code.let("pixel", self.row.load(columns[0])), code.let("next", self.row.load(after[0]))
        start = columns[0]
        vectors = [code.let("near", self.row.load(start, self.lanes))]
        if after[-1] - start >= self.lanes:
            vectors.append(code.let("far", self.row.load(start + self.lanes, self.lanes)))
        left, right = (
            code.let("picked", tirx.Shuffle(vectors, [integer(column - start) for column in wanted]))
            for wanted in (columns, after)
        )
        return left, right
