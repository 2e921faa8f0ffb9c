"""Architecture search as if there were one processor: the most accurate network for so many multiply-accumulates.

What is done without split-awareness (SplitNets, Dong et al., CVPR 2022, compares with it): link and sides play no
part, work is counted in MACs, and where to cut is asked afterwards.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil

import numpy as np

from splitkit.profiles import System
from splitkit.scores import FloatArray
from splitkit.search.config import Constraints, SearchConfig
from splitkit.search.journal import Journal
from splitkit.search.point import Point
from splitkit.search.protocol import FIGURES, Evaluator, PredictionArrays, Predictor
from splitkit.search.run import Progress, search
from splitkit.space import SearchSpace
from splitkit.space.encoding import IntArray


@dataclass(frozen=True)
class _Arrays:
    """A prediction."""

    sensor_us: FloatArray
    link_us: FloatArray
    aggregator_us: FloatArray
    total_us: FloatArray
    payload_bytes: FloatArray
    sensor_peak_bytes: FloatArray
    sensor_macs: FloatArray
    aggregator_macs: FloatArray
    measured_fraction: FloatArray


@dataclass(frozen=True)
class MacsPredictor:
    """A microsecond for every thousand multiply-accumulates of all sides, nothing for the link."""

    macs_of: Predictor

    def predict(self, genes: IntArray) -> PredictionArrays:
        """Figures of every row."""
        found = self.macs_of.predict(genes)
        figures = {name: np.asarray(getattr(found, name), dtype=np.float64) for name in FIGURES}
        time = (figures["sensor_macs"] + figures["aggregator_macs"]) / 1e3
        nothing = np.zeros_like(time)
        times = {"sensor_us": nothing, "link_us": nothing, "aggregator_us": time, "total_us": time}
        return _Arrays(**figures | times)


def search_unaware(
    space: SearchSpace,
    system: System,
    predictor: Predictor,
    evaluator: Evaluator,
    config: SearchConfig,
    scores: int,
    most_macs: float,
    *,
    journal: Journal | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> tuple[Point | None, int]:
    """The network with the highest likelihood on the search slice within `most_macs`, and how many were scored.

    Args:
        predictor: only its MACs are used.
        config: of the search to compare with; all scores go to networks of one processor.
        scores: how many candidates may be scored, to a whole generation.
    """
    generations = max(1, ceil(scores / config.population))
    config = replace(config, systems=("aggregator",), generations=generations)
    result = search(
        space, system, MacsPredictor(predictor), evaluator, config,
        constraints=Constraints(total_macs=most_macs), journal=journal, on_progress=on_progress,
    )  # fmt: skip
    best = max(result.front("aggregator"), key=lambda point: point.log_likelihood, default=None)
    return best, result.evaluated["aggregator"]
