"""Fronts of different ways to spend the same number of scores: found, compiled, timed, tested and compared.

Fronts are compared by hypervolume (accuracy above chance x log of measured latency), as ratios to random draws with an
interval over the seeds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy.stats import t as student

from splitkit.bench import TableClock, measure_architecture
from splitkit.data import Dataset
from splitkit.latency import Measurement, SystemPredictor
from splitkit.profiles import System
from splitkit.scores import Score
from splitkit.search import Constraints, Journal, SearchConfig, search
from splitkit.search.candidate import Candidate, judge
from splitkit.search.front import hypervolume, pareto_front, spread
from splitkit.search.protocol import Evaluator
from splitkit.space import Architecture, Sampler, SearchSpace
from splitkit.supernet import Supernet
from splitkit.training import calibration_images, score

CHANCE = 0.1
"""Accuracy of guessing among ten classes."""

WAYS = ("search", "search with accuracy model", "random draws")


@dataclass(frozen=True)
class Setting:
    """What the ways are compared on."""

    space: SearchSpace
    system: System
    predictor: SystemPredictor
    evaluator: Evaluator
    supernet: Supernet
    data: Dataset
    journal: Journal
    tests: Journal
    clock: TableClock

    def measure(self, architecture: Architecture) -> dict[str, Any]:
        """Both sides of a network, timed at the table's clock, as JSON."""
        return measure_architecture(self.space, self.system, architecture, clock=self.clock).to_json()


@dataclass(frozen=True)
class Front:
    """Points of one way's front: total time predicted and measured, accuracy on the search slice and the test set."""

    way: str
    seed: int
    evaluated: int
    architectures: tuple[Architecture, ...]
    predicted_us: Any
    measured_us: Any
    search_accuracy: Any
    test_accuracy: Any
    rank_correlation: float | None

    def area(self, worst_us: float) -> float:
        """Hypervolume above chance, of what was measured and tested."""
        return hypervolume(np.maximum(self.test_accuracy - CHANCE, 0.0), self.measured_us, worst_us)


def search_front(setting: Setting, config: SearchConfig) -> tuple[list[Candidate], int, float | None]:
    """The merged front of a search, how many accuracies it needed, and how well its model of accuracy ranked."""
    result = search(
        setting.space, setting.system, setting.predictor, setting.evaluator, config, journal=setting.journal
    )
    scores = {point.architecture: Score(point.accuracy, point.log_likelihood) for point in result.merged_front}
    constraints = Constraints.for_system(setting.system)
    front = judge(setting.space, setting.predictor, constraints, scores)
    taus = [q.rank_correlation for q in result.accuracy_model.values() if q.rank_correlation is not None]
    return front, sum(result.evaluated.values()), float(np.mean(taus)) if taus else None


def random_front(setting: Setting, config: SearchConfig) -> tuple[list[Candidate], int, None]:
    """The merged front of as many random draws, within the same constraints, an equal share for each system."""
    constraints = Constraints.for_system(setting.system)
    drawn: dict[Architecture, None] = {}
    for number, placement in enumerate(config.systems):
        sampler = Sampler(setting.space.restricted(placement), np.random.default_rng([config.seed, number]))
        wanted = len(drawn) + config.population * config.generations
        while len(drawn) < wanted:
            architecture = sampler.uniform()
            prediction = setting.predictor.predict_one(architecture)
            if np.all(constraints.violations(prediction) <= 0):
                drawn[architecture] = None
    scores = setting.journal.score(setting.evaluator, list(drawn))
    found = judge(setting.space, setting.predictor, constraints, dict(zip(drawn, scores, strict=True)))
    best = pareto_front(np.array([c.score.log_likelihood for c in found]), np.array([c.total_us for c in found]))
    return [found[i] for i in best], len(drawn), None


class Tester:
    """Scores on the test set with shared weights; for fronts only."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.calibration = calibration_images(setting.data.train)

    def score(self, architectures: Sequence[Architecture]) -> list[Score]:
        setting = self.setting
        return [score(setting.supernet, a, setting.data.test, self.calibration).score for a in architectures]


def examine(setting: Setting, way: str, config: SearchConfig, points: int) -> Front:
    """One way's front, compiled, timed and tested."""
    find = random_front if way == "random draws" else search_front
    candidates, evaluated, tau = find(setting, config)
    candidates = sorted(candidates, key=lambda c: c.total_us)
    chosen = [candidates[i] for i in spread(np.array([c.total_us for c in candidates]), points)]
    architectures = tuple(c.architecture for c in chosen)
    measured = [Measurement.from_json(setting.tests.measurement(a, partial(setting.measure, a))) for a in architectures]
    return Front(
        way,
        config.seed,
        evaluated,
        architectures,
        np.array([c.total_us for c in chosen]),
        np.array([m.total_us for m in measured]),
        np.array([c.accuracy for c in chosen]),
        np.array([score.accuracy for score in setting.tests.score(Tester(setting), architectures)]),
        tau,
    )


def ratio_with_interval(name: str, ratios: Sequence[float]) -> dict[str, float]:
    """Geometric mean of ratios and a 95 % t interval over seeds, of the logarithm; no interval for one seed."""
    logs = np.log(ratios)
    figures = {name: float(np.exp(logs.mean()))}
    if len(logs) > 1:
        half = student.ppf(0.975, len(logs) - 1) * logs.std(ddof=1) / np.sqrt(len(logs))
        figures |= {f"{name}_low": float(np.exp(logs.mean() - half)), f"{name}_high": float(np.exp(logs.mean() + half))}
    return figures


def slowest_us(setting: Setting) -> float:
    """Predicted time of the largest network where it is slowest: the corner that hypervolumes are measured from.

    A corner taken from the fronts themselves would make much of whichever front happens to reach it.
    """
    cuts = range(setting.space.max_units + 1)
    genes = setting.predictor.encoding.encode_all(setting.space.largest(cut) for cut in cuts)
    return float(setting.predictor.predict(genes).total_us.max())


def compare(fronts: Sequence[Front], worst_us: float) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """Hypervolume ratios to random draws, and one row per front; nothing of none."""
    if not fronts:
        return {}, []
    areas = {(front.way, front.seed): front.area(worst_us) for front in fronts}
    seeds = sorted({front.seed for front in fronts})
    figures: dict[str, float] = {}
    for way, name in zip(WAYS[:2], ("search", "search_with_model"), strict=True):
        ratios = [areas[way, s] / areas[WAYS[2], s] for s in seeds]
        figures |= ratio_with_interval(f"hypervolume_ratio_{name}", ratios)
    taus = [front.rank_correlation for front in fronts if front.rank_correlation is not None]
    if taus:
        figures["accuracy_model_rank_correlation"] = float(np.mean(taus))
    rows = [
        {
            "way": front.way,
            "seed": front.seed,
            "evaluations": front.evaluated,
            "points": len(front.architectures),
            "hypervolume": areas[front.way, front.seed],
            "best test accuracy": float(front.test_accuracy.max()),
            "its measured us": float(front.measured_us[front.test_accuracy.argmax()]),
            "fastest us": float(front.measured_us.min()),
            "its test accuracy": float(front.test_accuracy[front.measured_us.argmin()]),
        }
        for front in fronts
    ]
    return figures, rows
