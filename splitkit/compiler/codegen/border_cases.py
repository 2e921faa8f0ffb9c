"""The ways in which a window may hang over an image's border, counted."""

from collections.abc import Iterator

from tvm import tirx

from splitkit.compiler.codegen.borders import Window, inside
from splitkit.compiler.codegen.code import Expr, integer


class BorderCases:
    """Numbers of the sets of kernel rows and columns that meet the image; that of a window inside it is 0.

    Rows are numbered by how many of them are missing above and below, columns by the order in which they come.
    """

    def __init__(self, spec: Window, told: bool = True) -> None:
        """With `told` false there is one case: what it is asked for does not depend on the border."""
        self.spec, self.told = spec, told
        self.height = spec.kernel[0]
        rows = [self._rows(y) for y in range(spec.out_size[0])]
        self.above = max(low for low, _ in rows)
        self.below = max(self.height - high for _, high in rows)
        self.both = any(low and high < self.height for low, high in rows)
        width = range(spec.kernel[1])
        whole = tuple(width)
        found = [tuple(s for s in width if inside(spec, x, s)) for x in range(spec.out_size[1])]
        self.columns = list(dict.fromkeys([whole, *found]))
        self._of_column = [self.columns.index(each) for each in found]

    def _rows(self, y: int) -> tuple[int, int]:
        spec = self.spec
        rows = [
            r
            for r in range(self.height)
            if 0 <= y * spec.stride[0] + r * spec.dilation[0] - spec.padding[0] < spec.size[0]
        ]
        return (rows[0], rows[-1] + 1) if rows else (0, 0)

    @property
    def count(self) -> int:
        """Cases in all."""
        return self.rows * len(self.columns) if self.told else 1

    @property
    def rows(self) -> int:
        """Cases of rows alone."""
        return (self.above + 1) * (self.below + 1) if self.both else 1 + self.above + self.below

    def row_slices(self) -> Iterator[slice]:
        """Kernel rows inside the image, by case of rows."""
        for case in range(self.rows):
            if self.both:
                low, missing = divmod(case, self.below + 1)
            else:
                low, missing = (case, 0) if case <= self.above else (0, case - self.above)
            yield slice(low, max(self.height - missing, low))

    def insides(self) -> Iterator[tuple[slice, list[int]]]:
        """Kernel rows and columns inside the image, by case."""
        for rows in self.row_slices():
            for columns in self.columns:
                yield rows, list(columns)

    def of_rows(self, low: Expr, high: Expr) -> Expr:
        """The case of rows of a window that meets kernel rows [low, high)."""
        missing = self.height - high if isinstance(high, int) else integer(self.height) - high
        if self.both:
            return low * (self.below + 1) + missing
        if isinstance(low, int) and isinstance(missing, int):
            return self.above + missing if missing else low
        return tirx.Select(integer(missing) > 0, integer(missing) + self.above, integer(0)) + low

    def of(self, low: Expr, high: Expr, column: Expr) -> Expr:
        """The case of an output whose window meets kernel rows [low, high), at a column of the output.

        Columns that touch the left or right edge have to be numbers.
        """
        if not self.told:
            return 0
        of_column = self._of_column[column] if isinstance(column, int) else 0
        return self.of_rows(low, high) * len(self.columns) + of_column
