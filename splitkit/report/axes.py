"""Axes: where a value stands, as a fraction of the axis, and round numbers to write at it."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

MOST_DECADES = 12
"""Decades written at one axis; of more, every second or third is."""


@dataclass(frozen=True)
class Axis:
    """A linear or logarithmic axis from `low` to `high`."""

    low: float
    high: float
    logarithmic: bool = False

    @classmethod
    def over(cls, values: Iterable[float], *, margin: float = 0.06, wide: float = math.inf) -> "Axis":
        """An axis that holds all values with a margin; logarithmic where they span more than a factor `wide`."""
        finite = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
        low, high = min(finite), max(finite)
        if low > 0 and high / low > wide:
            factor = (high / low) ** margin
            return cls(low / factor, high * factor, True)
        room = (high - low) * margin or abs(high) * margin or 1.0
        return cls(low - room, high + room)

    def at(self, value: float) -> float:
        """Where `value` stands: 0 at `low`, 1 at `high`."""
        if self.logarithmic:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def holds(self, value: float) -> bool:
        """Whether `value` is on the axis."""
        return self.low <= value <= self.high

    def ticks(self, count: int = 6) -> list[float]:
        """About `count` round values on the axis."""
        from matplotlib.ticker import LogLocator, MaxNLocator

        if self.logarithmic:
            few = math.log10(self.high / self.low) < 2.5
            locator = LogLocator(subs=(1, 2, 5) if few else (1,), numticks=MOST_DECADES)
            values = locator.tick_values(self.low, self.high)
        else:
            values = MaxNLocator(count, steps=[1, 2, 2.5, 5, 10]).tick_values(self.low, self.high)
        return [float(value) for value in values if self.holds(value)]


def duration(us: float) -> str:
    """A time in the unit a reader would choose."""
    if us >= 1e6:
        return f"{us / 1e6:.3g} s"
    if us >= 10_000:
        return f"{us / 1e3:.3g} ms"
    return f"{us:.3g} us" if us < 100 else f"{us:.0f} us"


def size(count: float) -> str:
    """A number of bytes in the unit a reader would choose."""
    for unit, factor in (("MiB", 2**20), ("KiB", 2**10)):
        if count >= 10 * factor:
            return f"{count / factor:.3g} {unit}"
    return f"{count:.0f} B"


def thousands(count: float) -> str:
    """A count, shortened: 1.2 M, 34 k."""
    for unit, factor in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= factor:
            return f"{count / factor:.3g} {unit}"
    return f"{count:.0f}"
