"""Choose from fronts by one rule for every system.

Networks are compared at equal accuracy, and accuracies are known to so many images only. Finalists were fine-tuned and
scored on the same images, so they are compared in pairs. A network counts as accurate enough unless it loses by more
than could be chance: in errors (McNemar's exact test), or in the probability it gives to the right classes (a paired
t-test, which tells apart networks that make the same few errors), there by more than a trifle.

Systems that do not split are held against the most accurate finalist of all, a split against the better of them: the
network it has to beat. Of each system the fastest network that is accurate enough is chosen; of a system without any,
its most accurate one, which is then said to be less accurate.

Without finalists all there is are accuracies with shared weights: then the fastest is chosen that reaches the highest
accuracy which all systems reach, to one standard error.
"""

from collections.abc import Iterable, Mapping, Sequence
from math import sqrt
from typing import Protocol, TypeVar

from splitkit.scores import ImageScores, chance_of_loss, chance_of_lower_probability

LEVEL = 0.05
"""Chance of a loss below which it counts."""

TRIFLE = 0.01
"""Mean probability of the right class that may be lost however sure the loss is: one image in a hundred."""


class _Scored(Protocol):
    @property
    def accuracy(self) -> float: ...
    @property
    def total_us(self) -> float: ...


class _Tried(Protocol):
    @property
    def total_us(self) -> float: ...
    @property
    def scores(self) -> ImageScores: ...


Scored = TypeVar("Scored", bound=_Scored)
Tried = TypeVar("Tried", bound=_Tried)


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


def standard_error(accuracy: float, images: int) -> float:
    """Of an accuracy estimated on so many images (binomial): what the search slice cannot tell apart."""
    return sqrt(accuracy * (1 - accuracy) / images)


def fastest_alike(fronts: Mapping[str, Sequence[Scored]], images: int | None) -> dict[str, Scored]:
    """Of each system the fastest point that reaches the accuracy all reach, to one standard error of so many images.

    None for `images` means that accuracies are exact. Systems without points are left out.
    """
    reference = reference_accuracy(list(fronts.values()))
    tolerance = standard_error(reference, images) if images else 0.0
    found = {name: fastest_at(front, reference, tolerance) for name, front in fronts.items()}
    return {name: point for name, point in found.items() if point is not None}


def most_accurate(tried: Sequence[Tried]) -> Tried:
    """The network with the most images right; of equal ones the likelier."""
    return max(tried, key=lambda t: (t.scores.score.accuracy, t.scores.score.log_likelihood))


def accurate_enough(one: ImageScores, best: ImageScores) -> bool:
    """Whether a network loses to the best one by no more than could be chance, or by a trifle."""
    if chance_of_loss(one, best) < LEVEL:
        return False
    trifle = best.probability.mean() - one.probability.mean() <= TRIFLE
    return bool(trifle) or chance_of_lower_probability(one, best) >= LEVEL


def ranked(tried: Mapping[str, Sequence[Tried]]) -> tuple[dict[str, list[Tried]], list[Tried]]:
    """Of each system (none empty) the networks in the order in which they would be chosen, and, of all systems, those
    that are accurate enough."""
    best = most_accurate([t for field in tried.values() for t in field]).scores
    order: dict[str, list[Tried]] = {}
    enough: list[Tried] = []
    for name in sorted(tried, key=lambda name: name == "split"):
        reference = _rival(order.values(), enough, best) if name == "split" else best
        order[name], good = by_preference(tried[name], reference)
        enough += good
    return order, enough


def _rival(others: Iterable[Sequence[Tried]], enough: Sequence[Tried], best: ImageScores) -> ImageScores:
    """The fastest choice of the systems that do not split, of those that are accurate enough."""
    rivals = [order[0] for order in others if order[0] in enough]
    return min(rivals, key=lambda t: t.total_us).scores if rivals else best


def by_preference(tried: Sequence[Tried], best: ImageScores) -> tuple[list[Tried], list[Tried]]:
    """Networks of one system in the order in which they would be chosen: those that are accurate enough by latency,
    then the others by accuracy. And the first of these alone."""
    enough = [t for t in tried if accurate_enough(t.scores, best)]
    others = [t for t in tried if t not in enough]
    enough.sort(key=lambda t: (t.total_us, -t.scores.score.log_likelihood))
    others.sort(key=lambda t: (-t.scores.score.accuracy, -t.scores.score.log_likelihood))
    return enough + others, enough
