"""Choose from fronts by one rule for every system: the fastest at equal or better accuracy."""

from collections.abc import Sequence
from typing import Protocol, TypeVar


class _Scored(Protocol):
    @property
    def accuracy(self) -> float: ...
    @property
    def total_us(self) -> float: ...


Scored = TypeVar("Scored", bound=_Scored)


def fastest_at(points: Sequence[Scored], accuracy: float, tolerance: float = 0.0) -> Scored | None:
    """The fastest point whose accuracy is at least `accuracy - tolerance`; of equal ones the more accurate.

    None where no point is accurate enough.
    """
    good = [point for point in points if point.accuracy >= accuracy - tolerance]
    return min(good, key=lambda point: (point.total_us, -point.accuracy)) if good else None


def reference_accuracy(fronts: Sequence[Sequence[Scored]]) -> float:
    """The accuracy at which systems can be compared: the highest that every non-empty front reaches, or 0."""
    best = [max(point.accuracy for point in front) for front in fronts if front]
    return min(best, default=0.0)
