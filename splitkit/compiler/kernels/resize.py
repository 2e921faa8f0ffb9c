"""Bilinear resizing, separable: a row between two rows of the image, then columns between two of its columns.

Where an output pixel lies between two input pixels is known when the kernel is generated. A vector of output columns is
therefore picked from the one or two vectors of the row that hold its neighbours by shuffles, not gathered; how far it
lies from the left one is a constant. The row is kept in workspace, which is small enough for the first-level cache.
"""

from dataclasses import dataclass
from math import ceil, floor
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray
from tvm import tirx

from splitkit.compiler.attributes import pair
from splitkit.compiler.codegen.code import Code, Expr, Operand, divide, fma, integer, splat, vector_type
from splitkit.compiler.codegen.parallel import shared, threads_for
from splitkit.compiler.grouping import affine, resize_coordinates
from splitkit.compiler.kernels.protocol import KernelFunction, KernelSpec, Physical
from splitkit.compiler.machine import Machine
from splitkit.compiler.program import PLAIN, Constant

if TYPE_CHECKING:
    from splitkit.compiler.grouping import Group
    from splitkit.compiler.selection import Selector

ALIGNED = 16
"""Elements in 64 bytes, the widest vector."""


@dataclass(frozen=True)
class ResizeSpec(KernelSpec):
    """Bilinear resizing of plain images, and an affine function of the result. Operands: input, the fractions by which
    output rows and columns lie past the input's (float32), output (float32).

    Attributes:
        planes: batch times channels.
        coordinates: half_pixel, align_corners or asymmetric, as ONNX defines them.
        dtype: of the input, float32 or uint8.
        scale, shift: the output is scale * y + shift.
    """

    kind: ClassVar[str] = "resize"
    planes: int
    size: tuple[int, int]
    out_size: tuple[int, int]
    coordinates: str = "half_pixel"
    dtype: str = "float32"
    scale: float = 1.0
    shift: float = 0.0

    @property
    def family(self) -> str:
        return "resize"

    def label(self) -> str:
        (h, w), (oh, ow) = self.size, self.out_size
        affine = " +affine" if (self.scale, self.shift) != (1.0, 0.0) else ""
        return f"resize {self.coordinates} {self.planes}x{h}x{w}->{self.planes}x{oh}x{ow}{affine} {self.dtype}->float32"

    def emit(self, machine: Machine) -> KernelFunction:
        kernel = _Resize(self, machine)
        kernel.emit()
        return KernelFunction(kernel.code.function(kernel.operands), 4 * kernel.row.elements * kernel.copies)

    def sample(self, rng: np.random.Generator) -> "list[Physical | Constant]":
        tables = [Constant(rng.uniform(0, 1, size).astype(np.float32), "raw") for size in self.out_size]
        return [((self.planes, *self.size), self.dtype), *tables, ((self.planes, *self.out_size), "float32")]

    @classmethod
    def select(cls, group: "Group", to: "Selector") -> None:
        node = next(n for n in group.nodes if n.op == "Resize")
        source, (n, c, *out_size) = to.type(group.data), to.type(group.output).shape
        scale, shift = affine(group.nodes[group.nodes.index(node) + 1 :], to.graph.constants)
        spec = cls(n * c, pair(source.shape[2:]), pair(out_size), resize_coordinates(node), source.dtype, scale, shift)
        tables = [Constant(fractions(spec, axis), "raw") for axis in (0, 1)]
        to.call(spec, [to.read(group.data, PLAIN), *tables, to.make(group.output, PLAIN)], node.name)


def fractions(spec: ResizeSpec, axis: int) -> NDArray[np.float32]:
    """How far each output row (axis 0) or column (axis 1) lies from the input's before it, in [0, 1)."""
    return np.array([position % 1 for position in _positions(spec, axis)], np.float32)


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
