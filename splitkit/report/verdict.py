"""Which system wins on a hardware, and why, in one sentence: the same for a search, its page and the demo."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import hypot
from typing import Self

import numpy as np

from splitkit.latency.store import BETWEEN_NOISE
from splitkit.report.axes import duration
from splitkit.report.content import SYSTEMS
from splitkit.scores import Interval
from splitkit.search import SearchResult

STAGES = {"sensor_us": "on the sensor", "link_us": "over the link", "aggregator_us": "on the aggregator"}

SMALL = 0.02
"""Share of the winner's time below which a stage's difference explains nothing."""


SURE = 1.96
"""Standard deviations of a difference between two measurements below which it may be chance, in 5 cases of 100."""


@dataclass(frozen=True)
class Measured:
    """Total of a deployed system: the median over frames, and the standard deviation of frames around it, in us.

    Frames of one run share its state, so two runs differ by `BETWEEN_NOISE` of the time as well, however alike theirs
    are.
    """

    us: float
    spread_us: float = 0.0

    @classmethod
    def of(cls, frames_us: Iterable[float]) -> Self:
        """Of the times of single frames; a few that were held up count for little (the middle half of a normal
        distribution is 1.349 standard deviations wide)."""
        low, median, high = np.percentile(list(frames_us), (25, 50, 75)).tolist()
        return cls(median, (high - low) / 1.349)

    @property
    def deviation_us(self) -> float:
        """Standard deviation of the median between runs, at most."""
        return hypot(self.spread_us, BETWEEN_NOISE * self.us)


@dataclass(frozen=True)
class Contender:
    """One system's chosen network.

    Attributes:
        sensor_us, link_us, aggregator_us: predicted stages of one frame.
        accuracy: of the network that was chosen, where it was scored last.
        accurate_enough: False if it is less accurate than the others' by more than could be chance.
        measured: total of the system, where it was measured.
    """

    sensor_us: float
    link_us: float
    aggregator_us: float
    accuracy: float
    accurate_enough: bool = True
    measured: Measured | None = None

    @property
    def total_us(self) -> float:
        """Predicted time of one frame."""
        return self.sensor_us + self.link_us + self.aggregator_us

    @property
    def known_us(self) -> float:
        """Time of one frame, measured if it was."""
        return self.measured.us if self.measured else self.total_us


@dataclass(frozen=True)
class Verdict:
    """The winning system's placement, None for a tie or where nothing was compared, and the sentence."""

    winner: str | None
    text: str


def contenders_of(result: SearchResult, measured: Mapping[str, Measured] | None = None) -> dict[str, Contender]:
    """The chosen network of every system of a search.

    Args:
        measured: by placement, of systems that were run; for others, what feedback measured of their halves counts.
    """
    finalists = {finalist.point: finalist for finalist in result.finalists}
    found = {}
    for name, index in result.chosen.items():
        point, finalist = result.points[index], finalists.get(index)
        accuracy, enough = (finalist.accuracy, finalist.accurate_enough) if finalist else (point.accuracy, True)
        stages = (point.sensor_us, point.link_us, point.aggregator_us)
        timed = None if point.measured_total_us is None else Measured(point.measured_total_us)
        found[name] = Contender(*stages, accuracy, enough, (measured or {}).get(name, timed))
    return found


def verdict_of(result: SearchResult, measured: Mapping[str, Measured] | None = None) -> Verdict:
    """The verdict on a search's chosen networks, its predictions being as good as its last round of feedback found."""
    return verdict(contenders_of(result, measured), result.feedback[-1].max_error if result.feedback else 0.0)


def verdict(contenders: Mapping[str, Contender], error: float) -> Verdict:
    """Which of the systems wins. Those that are not accurate enough cannot.

    Where two systems were both measured, they tie if their measurements differ by no more than could be chance,
    whatever was predicted; else if they differ by no more than predictions may be off, each by `error` (relative).
    """
    able = {name: c for name, c in contenders.items() if c.accurate_enough}
    if not able:
        return Verdict(None, "Nothing was found within the limits.")
    first, *rest = sorted(able, key=lambda name: able[name].known_us)
    left_out = [name for name in contenders if name not in able]
    behind = "".join(f" {_title(name)} reaches only {contenders[name].accuracy:.1%}." for name in left_out)
    tied = [name for name in rest if _tie(able[first], able[name], error)]
    if tied:
        names = " and ".join(f"{SYSTEMS[name]} ({_times(able[name])})" for name in [first, *tied])
        others = "".join(f"; {SYSTEMS[name]} takes {_times(able[name])}" for name in rest if name not in tied)
        why = _why_tied(able[first], able[tied[-1]], error)
        return Verdict(None, f"A tie between {names}: {why}{others}.{behind}")
    best = able[first]
    took = f"{_times(best)}{'' if best.measured else ' predicted'}"
    if rest:
        against = " and ".join(f"{_times(able[name])} {SYSTEMS[name]}" for name in rest)
        reason = _reason(best, able[rest[0]], SYSTEMS[rest[0]])
        return Verdict(first, f"{_title(first)} wins: {took} for one frame, against {against}; {reason}.{behind}")
    if left_out:
        return Verdict(first, f"{_title(first)} wins: {took} for one frame, and no other is as accurate.{behind}")
    return Verdict(None, f"The only system with a network within the limits is {SYSTEMS[first]}: {took}.")


def on_test_images(found: Verdict, difference: Interval, against: str) -> Verdict:
    """The verdict once the test set was opened: a split that is less accurate by more than chance has not won.

    Args:
        difference: test accuracy of split less that of the system `against`, on the same images.
    """
    if found.winner != "split" or difference.high >= 0:
        return found
    text = (
        f"Split is faster but less accurate, so it does not win: by {-difference.difference:.1%} on the test images "
        f"against {SYSTEMS[against]} (95 % interval {-difference.high:.1%} to {-difference.low:.1%}). "
    )
    return Verdict(None, text + found.text.removeprefix("Split wins: ").capitalize())


def _title(name: str) -> str:
    return SYSTEMS[name].capitalize()


def _tie(first: Contender, other: Contender, error: float) -> bool:
    if first.measured and other.measured:
        return other.measured.us - first.measured.us <= _chance_us(first.measured, other.measured)
    return other.known_us / first.known_us - 1 <= _tolerance(error)


def _why_tied(first: Contender, other: Contender, error: float) -> str:
    apart = f"they differ by {other.known_us / first.known_us - 1:.1%}"
    if first.measured and other.measured:
        chance = _chance_us(first.measured, other.measured) / first.measured.us
        return f"{apart}, and measurements of equal ones may differ by {chance:.1%}"
    return f"{apart}, and predictions were off by up to {error:.1%}"


def _reason(first: Contender, other: Contender, name: str) -> str:
    """Why one is faster than the other, so named, as far as predictions can say."""
    if first.total_us >= other.total_us:
        return f"predictions had {name} ahead"
    takes = "it is predicted to take" if first.measured else "it takes"
    return f"than {name} {takes} {_difference(first, other)}"


def _chance_us(one: Measured, other: Measured) -> float:
    """How far apart two measurements of equally fast systems may be."""
    return SURE * hypot(one.deviation_us, other.deviation_us)


def _tolerance(error: float) -> float:
    """How far apart two predictions, each off by `error` at most, can be without saying anything."""
    return (1 + error) / max(1 - error, 1e-9) - 1


def _difference(first: Contender, other: Contender) -> str:
    """Stage by stage, what one takes less and more than the other."""
    parts = [(getattr(other, stage) - getattr(first, stage), where) for stage, where in STAGES.items()]
    parts = [(us, where) for us, where in sorted(parts, reverse=True) if abs(us) >= SMALL * first.total_us]
    return ", ".join(f"{duration(abs(us))} {'less' if us > 0 else 'more'} {where}" for us, where in parts)


def _times(contender: Contender) -> str:
    if contender.measured is None:
        return duration(contender.total_us)
    return f"{duration(contender.measured.us)} measured ({duration(contender.total_us)} predicted)"
