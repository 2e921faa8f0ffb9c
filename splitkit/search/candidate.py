"""What a search knows of an architecture: its score and its predicted figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from splitkit.scores import Score
from splitkit.search.config import Constraints
from splitkit.search.protocol import FIGURES, PredictionArrays, Predictor
from splitkit.space import Architecture, SearchSpace
from splitkit.space.encoding import Encoding, IntArray


@dataclass(frozen=True)
class Candidate:
    """An architecture within the constraints, with its score and its predicted figures."""

    architecture: Architecture
    score: Score
    figures: dict[str, float]

    @property
    def accuracy(self) -> float:
        """Share of the search images it classifies rightly."""
        return self.score.accuracy

    @property
    def log_likelihood(self) -> float:
        """Mean logarithm of the probability it gives to the right class."""
        return self.score.log_likelihood

    @property
    def total_us(self) -> float:
        """Predicted system latency."""
        return self.figures["total_us"]


@dataclass
class Run:
    """What one evolution has seen: feasible candidates in order of evaluation, and how many were not feasible."""

    candidates: list[Candidate] = field(default_factory=list)
    seen: set[bytes] = field(default_factory=set)
    infeasible: int = 0


def judge(
    space: SearchSpace, predictor: Predictor, constraints: Constraints, scores: Mapping[Architecture, Score]
) -> list[Candidate]:
    """Architectures of known score as `predictor` sees them, without those beyond the constraints."""
    if not scores:
        return []
    architectures = list(scores)
    prediction = predictor.predict(Encoding(space).encode_all(architectures))
    feasible = np.flatnonzero(np.all(constraints.violations(prediction) <= 0, axis=1))
    chosen = [architectures[i] for i in feasible]
    return candidates_of(chosen, [scores[a] for a in chosen], prediction, feasible)


def candidates_of(
    architectures: Sequence[Architecture],
    scores: Sequence[Score],
    prediction: PredictionArrays,
    rows: IntArray,
) -> list[Candidate]:
    """One candidate per architecture, its figures taken from `rows` of the prediction."""
    columns = {name: np.asarray(getattr(prediction, name), dtype=np.float64)[rows] for name in FIGURES}
    return [
        Candidate(architecture, scores[i], {name: float(column[i]) for name, column in columns.items()})
        for i, architecture in enumerate(architectures)
    ]
