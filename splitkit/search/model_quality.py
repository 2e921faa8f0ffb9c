"""How far the model of accuracy can be trusted: what it said of candidates before they were scored, and what came."""

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class ModelQuality:
    """How well the model of accuracy ranked candidates of one system, each predicted before it was scored.

    Attributes:
        proposed: candidates the model chose from.
        held_out: of these, how many were scored afterwards.
        rank_correlation: Kendall's tau between predictions and scores of those; None with fewer than two, or if all
            were equally accurate.
    """

    proposed: int
    held_out: int
    rank_correlation: float | None

    def to_json(self) -> dict[str, Any]:
        """A JSON object with the same field names."""
        return asdict(self)


@dataclass
class ModelRecord:
    """What the model said of candidates that were scored later, over all generations of one system."""

    proposed: int = 0
    predicted: list[float] = field(default_factory=list)
    scored: list[float] = field(default_factory=list)

    def quality(self) -> ModelQuality:
        """Rank correlation of what was said with what came."""
        from scipy.stats import kendalltau

        tau = float(kendalltau(self.predicted, self.scored).statistic) if len(self.scored) > 1 else float("nan")
        return ModelQuality(self.proposed, len(self.scored), None if np.isnan(tau) else tau)
