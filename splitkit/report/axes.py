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
        return self._logarithmic_ticks() if self.logarithmic else self._linear_ticks(count)

    def _linear_ticks(self, count: int) -> list[float]:
        rough = (self.high - self.low) / count
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough * (1 - 1e-9))
        first = math.ceil(self.low / step - 1e-9)
        return [round(i * step, 12) for i in range(first, math.floor(self.high / step + 1e-9) + 1)]

    def _logarithmic_ticks(self) -> list[float]:
        decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        few = math.log10(self.high / self.low) < 2.5
        apart = math.ceil(len(decades) / MOST_DECADES)
        values = [m * 10.0**d for d in decades[::apart] for m in ((1, 2, 5) if few else (1,))]
        return [value for value in values if self.holds(value)]


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
