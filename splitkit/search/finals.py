"""Several candidates of each system, fine-tuned a little before one is chosen: successive halving.

Shared weights say which networks are promising, not which of the promising ones is best once it has weights of its
own. So of every system some are fine-tuned, the less promising half is dropped, and the rest is fine-tuned for longer
(Jamieson and Talwalkar, AISTATS 2016). What decides is the rule of `choice`, on the search slice, which fine-tuning
never sees.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any, Protocol, TypeVar

import numpy as np

from splitkit.errors import ConfigError
from splitkit.scores import ImageScores
from splitkit.search.choice import ranked
from splitkit.search.front import hypervolume
from splitkit.search.journal import Journal
from splitkit.search.point import Point
from splitkit.space import Architecture

REACH = 0.05
"""How much accuracy a candidate may lack, with shared weights, and still become a finalist: fine-tuning makes up for
about as much."""

CORNER = 1.5
"""The area under a front is measured from a corner this many times worse than its worst, so that both ends count."""


class _Ranked(Protocol):
    @property
    def accuracy(self) -> float: ...
    @property
    def log_likelihood(self) -> float: ...
    @property
    def total_us(self) -> float: ...


Ranked = TypeVar("Ranked", bound=_Ranked)


class Tuner(Protocol):
    """Fine-tunes candidates on training images outside the search slice, and scores them on the slice."""

    def tune(
        self, architectures: Sequence[Architecture], schedule: Sequence[int]
    ) -> Generator[ImageScores, None, None]:
        """Scores of networks that start from the shared weights and are fine-tuned for these steps, one run after
        the other; in order, each as soon as it is known. The same question must always get the same answer, whatever
        it is asked together with."""
        ...


@dataclass(frozen=True)
class Finalist:
    """A candidate that was fine-tuned. The scores of each image are in the search's journal.

    Attributes:
        point: its index among the result's points.
        steps: for how long it was fine-tuned.
        accuracy, log_likelihood: on the search slice, afterwards.
        accurate_enough: whether it was not worse than what it was compared with, by more than could be chance.
    """

    point: int
    steps: int
    accuracy: float
    log_likelihood: float
    accurate_enough: bool

    def to_json(self) -> dict[str, Any]:
        """A JSON object with the same field names."""
        return asdict(self)


@dataclass(frozen=True)
class FinalsProgress:
    """Where the finals stand: `done` of `trials` runs of fine-tuning."""

    system: str
    done: int
    trials: int


@dataclass(frozen=True, kw_only=True)
class Finals:
    """How finalists are tried.

    Attributes:
        tuner: fine-tunes and scores.
        finalists: candidates of each system that are fine-tuned.
        steps: for how long in the first run; runs after the first are twice as long as the one before.
    """

    tuner: Tuner
    finalists: int = 6
    steps: int = 50
    on_progress: Callable[[FinalsProgress], None] = lambda progress: None


@dataclass(frozen=True, eq=False)
class _Tried:
    """A finalist with what came of it so far."""

    index: int
    total_us: float
    schedule: tuple[int, ...]
    scores: ImageScores

    def judged(self, enough: bool) -> Finalist:
        """What a result keeps of it, whether it is accurate enough being known."""
        score = self.scores.score
        return Finalist(self.index, sum(self.schedule), score.accuracy, score.log_likelihood, enough)


def pick_finalists(front: Sequence[Ranked], count: int) -> list[Ranked]:
    """Up to `count` points of a system's front within `REACH` of its most accurate one, by rising latency.

    One after the other the point is taken that adds most to the area under the front, in the logarithms of loss and
    latency (greedy hypervolume subset selection: Guerreiro et al., Evolutionary Computation 24(3), 2016): the knees of
    the front, which gain most before the next point costs more.
    """
    best = max((point.accuracy for point in front), default=0.0)
    near = [point for point in front if point.accuracy >= best - REACH]
    if not near:
        return []
    loss = np.array([max(-point.log_likelihood, 1e-9) for point in near])
    gain = np.log(CORNER * loss.max() / loss)
    total_us = np.array([point.total_us for point in near])
    worst_us = CORNER * float(total_us.max())
    picked: list[int] = []
    for _ in range(min(count, len(near))):
        left = [i for i in range(len(near)) if i not in picked]
        areas = [hypervolume(gain[[*picked, i]], total_us[[*picked, i]], worst_us) for i in left]
        picked.append(left[int(np.argmax(areas))])
    return [near[i] for i in sorted(picked)]


def play(
    entrants: Mapping[str, Sequence[Point]],
    points: Sequence[Point],
    finals: Finals,
    journal: Journal,
    copies: Mapping[Architecture, Point] | None = None,
) -> tuple[tuple[Finalist, ...], dict[str, int]]:
    """Fine-tune every system's entrants, drop half of them, go on with the rest; all finalists, and the chosen points.

    Args:
        entrants: points by system; a system without any is left out.
        points: all points, for indices into them.
        copies: split systems that are nearly the same network as another system's, by that one's architecture. Those
            of networks that reach the last round join it, so that a split is there which costs and knows about as
            much as what does not split.
    """
    index = {point.architecture: i for i, point in enumerate(points)}
    left = {name: list(field) for name, field in entrants.items() if field}
    rounds = _rounds(max((len(field) for field in left.values()), default=0))
    last: dict[int, Finalist] = {}
    done = 0
    for number in range(rounds):
        if number == rounds - 1:
            left = _joined(left, copies or {})
        trials = done + sum(_left(len(field), n) for field in left.values() for n in range(rounds - number))
        schedule = tuple(finals.steps * 2**n for n in range(number + 1))
        field = [point for points_ in left.values() for point in points_]
        tried: dict[Architecture, _Tried] = {}
        if not done:
            finals.on_progress(FinalsProgress(field[0].placement, done, trials))
        with closing(_scores(field, schedule, finals.tuner, journal)) as found:
            for point, scores in found:
                tried[point.architecture] = _Tried(index[point.architecture], point.total_us, schedule, scores)
                done += 1
                finals.on_progress(FinalsProgress(point.placement, done, trials))
        order, enough = ranked({name: [tried[p.architecture] for p in field] for name, field in left.items()})
        last |= {t.index: t.judged(t in enough) for t in tried.values()}
        left = {name: [points[t.index] for t in entries[: _left(len(entries), 1)]] for name, entries in order.items()}
    return tuple(last[i] for i in sorted(last)), {n: index[f[0].architecture] for n, f in left.items()}


def _joined(left: Mapping[str, list[Point]], copies: Mapping[Architecture, Point]) -> dict[str, list[Point]]:
    """Who is left, and among the split systems the copies of the others."""
    if "split" not in left:
        return dict(left)
    others = [point for name, field in left.items() if name != "split" for point in field]
    joining = [copies[point.architecture] for point in others if point.architecture in copies]
    return {**left, "split": list(dict.fromkeys([*left["split"], *joining]))}


def _rounds(entrants: int) -> int:
    """Runs of fine-tuning: until it is one of two; a single entrant is fine-tuned too."""
    return next(n for n in range(64) if _left(entrants, n) <= 2) or min(entrants, 1)


def _left(entrants: int, rounds: int) -> int:
    """How many of so many entrants are left after so many rounds, the better half of each kept."""
    return -(-entrants >> rounds)


def _scores(
    field: Sequence[Point], schedule: tuple[int, ...], tuner: Tuner, journal: Journal
) -> Generator[tuple[Point, ImageScores], None, None]:
    """What became of each: those first that are known already."""
    unknown = []
    for point in field:
        if (body := journal.trial(point.architecture, schedule)) is None:
            unknown.append(point)
        else:
            yield point, _read(body, point.architecture, journal)
    with closing(tuner.tune([point.architecture for point in unknown], schedule)) as found:
        for point, scores in zip(unknown, found, strict=True):
            journal.add_trial(point.architecture, schedule, scores.to_json())
            yield point, ImageScores.from_json(scores.to_json())  # rounded, as it will be read again


def _read(body: Mapping[str, Any], architecture: Architecture, journal: Journal) -> ImageScores:
    try:
        return ImageScores.from_json(body)
    except ValueError as error:
        raise ConfigError(f"{journal.path}: trial of {architecture}: {error}", "delete it to search afresh") from error
