"""Which system wins on a hardware, and why, in one sentence: the same for a search, its page and the demo."""

from collections.abc import Mapping
from dataclasses import dataclass

from splitkit.report.axes import duration
from splitkit.report.content import SYSTEMS
from splitkit.scores import Interval
from splitkit.search import SearchResult

STAGES = {"sensor_us": "on the sensor", "link_us": "over the link", "aggregator_us": "on the aggregator"}

SMALL = 0.02
"""Share of the winner's time below which a stage's difference explains nothing."""


@dataclass(frozen=True)
class Contender:
    """One system's chosen network.

    Attributes:
        sensor_us, link_us, aggregator_us: predicted stages of one frame.
        accuracy: of the network that was chosen, where it was scored last.
        accurate_enough: False if it is less accurate than the others' by more than could be chance.
        measured_us: total of the deployed system, where it was run.
    """

    sensor_us: float
    link_us: float
    aggregator_us: float
    accuracy: float
    accurate_enough: bool = True
    measured_us: float | None = None

    @property
    def total_us(self) -> float:
        """Predicted time of one frame."""
        return self.sensor_us + self.link_us + self.aggregator_us


@dataclass(frozen=True)
class Verdict:
    """The winning system's placement, None for a tie or where nothing was compared, and the sentence."""

    winner: str | None
    text: str


def contenders_of(result: SearchResult, measured_us: Mapping[str, float] | None = None) -> dict[str, Contender]:
    """The chosen network of every system of a search; `measured_us` by placement, of those that were run."""
    finalists = {finalist.point: finalist for finalist in result.finalists}
    found = {}
    for name, index in result.chosen.items():
        point, finalist = result.points[index], finalists.get(index)
        accuracy, enough = (finalist.accuracy, finalist.accurate_enough) if finalist else (point.accuracy, True)
        stages = (point.sensor_us, point.link_us, point.aggregator_us)
        found[name] = Contender(*stages, accuracy, enough, (measured_us or {}).get(name))
    return found


def verdict_of(result: SearchResult, measured_us: Mapping[str, float] | None = None) -> Verdict:
    """The verdict on a search's chosen networks, its predictions being as good as its last round of feedback found."""
    return verdict(contenders_of(result, measured_us), result.feedback[-1].max_error if result.feedback else 0.0)


def verdict(contenders: Mapping[str, Contender], error: float) -> Verdict:
    """Which of the systems wins. Those that are not accurate enough cannot.

    Two systems tie if they differ by no more than their predictions may be off, each by `error` (relative), or if what
    was measured has them in the other order.
    """
    able = {name: c for name, c in contenders.items() if c.accurate_enough}
    if not able:
        return Verdict(None, "Nothing was found within the limits.")
    first, *rest = sorted(able, key=lambda name: able[name].total_us)
    left_out = [name for name in contenders if name not in able]
    behind = "".join(f" {_title(name)} reaches only {contenders[name].accuracy:.1%}." for name in left_out)
    tied = [name for name in rest if _tie(able[first], able[name], error)]
    if tied:
        names = " and ".join(f"{SYSTEMS[name]} ({_times(able[name])})" for name in [first, *tied])
        others = "".join(f"; {SYSTEMS[name]} takes {_times(able[name])}" for name in rest if name not in tied)
        apart = able[tied[-1]].total_us / able[first].total_us - 1
        why = f"they differ by {apart:.1%}, and predictions were off by up to {error:.1%}"
        if apart > _tolerance(error):
            why = "predictions and measurements disagree on which is faster"
        return Verdict(None, f"A tie between {names}: {why}{others}.{behind}")
    if rest:
        against = " and ".join(f"{_times(able[name])} {SYSTEMS[name]}" for name in rest)
        why = f"than {SYSTEMS[rest[0]]} it takes {_difference(able[first], able[rest[0]])}"
        text = f"{_title(first)} wins: {_times(able[first])} predicted for one frame, against {against}; {why}."
        return Verdict(first, text + behind)
    if left_out:
        text = f"{_title(first)} wins: {_times(able[first])} predicted for one frame, and no other is as accurate."
        return Verdict(first, text + behind)
    text = f"The only system with a network within the limits is {SYSTEMS[first]}: {_times(able[first])} predicted."
    return Verdict(None, text)


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
    if first.measured_us is not None and other.measured_us is not None and other.measured_us < first.measured_us:
        return True
    return other.total_us / first.total_us - 1 <= _tolerance(error)


def _tolerance(error: float) -> float:
    """How far apart two predictions, each off by `error` at most, can be without saying anything."""
    return (1 + error) / max(1 - error, 1e-9) - 1


def _difference(first: Contender, other: Contender) -> str:
    """Stage by stage, what one takes less and more than the other."""
    parts = [(getattr(other, stage) - getattr(first, stage), where) for stage, where in STAGES.items()]
    parts = [(us, where) for us, where in sorted(parts, reverse=True) if abs(us) >= SMALL * first.total_us]
    return ", ".join(f"{duration(abs(us))} {'less' if us > 0 else 'more'} {where}" for us, where in parts)


def _times(contender: Contender) -> str:
    measured = "" if contender.measured_us is None else f" ({duration(contender.measured_us)} measured)"
    return duration(contender.total_us) + measured
