"""Rounds of measuring what a search found and correcting what it believes.

A search picks exactly the candidates whose latency is underestimated, so one round of measuring is not enough: rounds
go on until candidates measured for the first time agree with their prediction.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Generic, TypeVar

import numpy as np

from splitkit.errors import ConfigError
from splitkit.search.candidate import Candidate
from splitkit.search.choice import fastest_at, reference_accuracy
from splitkit.search.front import spread
from splitkit.search.journal import Journal
from splitkit.search.protocol import Measurement, Predictor
from splitkit.space import Architecture

M = TypeVar("M", bound=Measurement)


@dataclass(frozen=True, kw_only=True)
class Feedback(Generic[M]):
    """How candidates are measured and what is learnt from them.

    Attributes:
        measure: compiles one architecture and times it on the system's devices.
        load: restores a measurement from its JSON form.
        refit: a predictor corrected by all measurements so far.
        rounds: most rounds of measuring.
        tolerance: rounds end when the median error of newly measured candidates is at most this.
        per_round: candidates measured per round; more if the systems' current best need it.
    """

    measure: Callable[[Architecture], M]
    load: Callable[[dict[str, Any]], M]
    refit: Callable[[Sequence[M]], Predictor]
    rounds: int = 3
    tolerance: float = 0.05
    per_round: int = 4

    def __post_init__(self) -> None:
        if self.rounds < 0 or self.per_round < 1 or not self.tolerance > 0:
            raise ConfigError("feedback: rounds must be at least 0, per_round at least 1, tolerance above 0")


@dataclass(frozen=True)
class FeedbackRound:
    """Relative errors, |predicted - measured| / measured of the total, of the candidates first measured in a round."""

    round: int
    measured: int
    median_error: float
    max_error: float

    def to_json(self) -> dict[str, Any]:
        """A JSON object with the same field names."""
        return asdict(self)


def to_measure(
    fronts: Mapping[str, Sequence[Candidate]], merged: Sequence[Candidate], known: set[str], count: int
) -> list[Candidate]:
    """Unmeasured candidates worth measuring: every system's current best, then the merged front evenly spread.

    A system's best is its fastest at the accuracy all of them reach. `known` holds digests of measured architectures.
    """
    reference = reference_accuracy(list(fronts.values()))
    best = [fastest_at(front, reference) for front in fronts.values()]
    order = {c.architecture: c for c in best if c and c.architecture.digest() not in known}
    others = [c for c in merged if c.architecture.digest() not in known and c.architecture not in order]
    left = max(count - len(order), 0)
    picked = spread(np.array([c.total_us for c in others]), left) if others and left else []
    return [*order.values(), *(others[i] for i in picked)]


def measure_candidates(
    candidates: Sequence[Candidate], feedback: Feedback[M], journal: Journal, number: int
) -> tuple[list[M], FeedbackRound]:
    """Measure (or read from the journal) and compare with what was predicted."""

    def measured(architecture: Architecture) -> M:
        return feedback.load(journal.measurement(architecture, lambda: feedback.measure(architecture).to_json()))

    measurements = [measured(candidate.architecture) for candidate in candidates]
    errors = [
        abs(candidate.total_us - measurement.total_us) / measurement.total_us
        for candidate, measurement in zip(candidates, measurements, strict=True)
    ]
    return measurements, FeedbackRound(number, len(errors), float(np.median(errors)), max(errors))
