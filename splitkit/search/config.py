"""How long to search, and within which limits."""

from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Self

import numpy as np

from splitkit.errors import ConfigError
from splitkit.profiles import System
from splitkit.scores import FloatArray
from splitkit.search.protocol import PredictionArrays
from splitkit.space.search_space import Placement

SYSTEMS: tuple[Placement, ...] = ("sensor", "aggregator", "split")
"""The degenerate systems and the split one; each is searched with the same budget."""


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """Budget and chance of one search. Every system gets `population` x `generations` candidates.

    Attributes:
        refine_generations: generations of each search that follows a round of measuring; half of them by default.
        seed: with the same seed, predictor and accuracies a search repeats exactly.
        systems: which placements to search.
        steps: share of offspring that differ from their parent, or the mix of their parents, by one step of one gene.
        mutation: in the other offspring, the probability that a gene is redrawn (one gene always is).
        crossover: probability that an offspring has two parents rather than one.
        exchange: share of a generation that may be made of the other systems' best networks, cut elsewhere; the
            last generation may be all of it.
        oversample: candidates proposed for each one that is scored; above 1, a model fitted on the scores so far
            chooses which.
    """

    population: int = 64
    generations: int = 40
    refine_generations: int | None = None
    seed: int = 0
    systems: tuple[Placement, ...] = SYSTEMS
    steps: float = 0.7
    mutation: float = 0.1
    crossover: float = 0.4
    exchange: float = 0.25
    oversample: int = 1

    def refinement(self) -> Self:
        """The settings of a search that starts from what an earlier one found."""
        generations = self.refine_generations or max(1, self.generations // 2)
        return replace(self, generations=generations)

    def __post_init__(self) -> None:
        for name, low in (("population", 4), ("generations", 1), ("oversample", 1)):
            if getattr(self, name) < low:
                raise ConfigError(f"search: {name}: {getattr(self, name)} is too small, at least {low}")
        if self.refine_generations is not None and self.refine_generations < 1:
            raise ConfigError(f"search: refine_generations: {self.refine_generations} is too small, at least 1")
        for name in ("steps", "mutation", "crossover", "exchange"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"search: {name}: {getattr(self, name)} is not a probability")
        if not self.systems or len(set(self.systems)) != len(self.systems) or set(self.systems) - set(SYSTEMS):
            raise ConfigError(f"search: systems: {list(self.systems)}", f"distinct ones of {list(SYSTEMS)}")


@dataclass(frozen=True, kw_only=True)
class Constraints:
    """Upper limits on a candidate's predicted figures; None is no limit."""

    sensor_peak_bytes: float | None = None
    sensor_us: float | None = None
    payload_bytes: float | None = None
    sensor_macs: float | None = None
    total_macs: float | None = None
    total_us: float | None = None

    def __post_init__(self) -> None:
        for name, limit in self.limits().items():
            if not limit > 0:
                raise ConfigError(f"constraints: {name}: {limit} is no limit", "a positive number, or leave it out")

    @classmethod
    def for_system(cls, system: System, **limits: float | None) -> Self:
        """`limits`, and where none is given for it, the sensor's memory."""
        memory = system.sensor.memory_bytes
        return cls(**{"sensor_peak_bytes": None if memory is None else float(memory), **limits})

    def limits(self) -> dict[str, float]:
        """The limits there are, by name."""
        return {field.name: limit for field in fields(self) if (limit := getattr(self, field.name)) is not None}

    def violations(self, prediction: PredictionArrays) -> FloatArray:
        """How far each figure is over its limit, as a fraction of it; shape (n, limits), positive is too much."""
        columns = []
        for name, limit in self.limits().items():
            if name == "total_macs":
                figure = prediction.sensor_macs + prediction.aggregator_macs
            else:
                figure = getattr(prediction, name)
            columns.append(np.asarray(figure, dtype=np.float64) / limit - 1.0)
        return np.stack(columns, axis=1) if columns else np.zeros((len(prediction.total_us), 0))

    def to_json(self) -> dict[str, Any]:
        """The limits, None included."""
        return asdict(self)
