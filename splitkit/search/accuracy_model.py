"""A small model of accuracy, fitted on what was scored so far: it says which candidates are worth scoring.

Extremely randomised trees (Geurts et al., Machine Learning 63, 2006) on the choices of an architecture and on what they
amount to (MACs, payload): a few hundred scores are all it ever sees, and only the order of its answers is used. Ranking
candidates by a cheap model before they are scored is common in architecture search (Dudziak et al., "BRP-NAS", NeurIPS
2020).
"""

from typing import Protocol

import numpy as np

from splitkit.search.protocol import FloatArray, PredictionArrays
from splitkit.space.encoding import Encoding, IntArray

TREES = 100

LEAST_SCORED = 24
"""With fewer scores than this a model ranks no better than chance."""


class _Regression(Protocol):
    def predict(self, rows: FloatArray) -> FloatArray: ...


class AccuracyModel:
    """Accuracies of gene vectors of one space, from scored ones. Deterministic."""

    def __init__(self, encoding: Encoding) -> None:
        self.encoding = encoding
        self._regression: _Regression | None = None

    @property
    def fitted(self) -> bool:
        """Whether it can predict."""
        return self._regression is not None

    def fit(self, genes: IntArray, prediction: PredictionArrays, accuracy: FloatArray) -> None:
        """Learn from n scored candidates: genes (n, genes), their predicted figures, their accuracies (n,).

        Does nothing with fewer than `LEAST_SCORED` of them, or if all are equally accurate.
        """
        if len(accuracy) < LEAST_SCORED or np.ptp(accuracy) == 0:
            return
        from sklearn.ensemble import ExtraTreesRegressor  # takes longer to import than all the rest

        trees = ExtraTreesRegressor(TREES, min_samples_leaf=2, random_state=0)
        self._regression = trees.fit(self.features(genes, prediction), accuracy)

    def predict(self, genes: IntArray, prediction: PredictionArrays) -> FloatArray:
        """Accuracies, shape (n,): in the right order rather than of the right size."""
        assert self._regression is not None
        return np.asarray(self._regression.predict(self.features(genes, prediction)), dtype=np.float64)

    def features(self, genes: IntArray, prediction: PredictionArrays) -> FloatArray:
        """What is known of candidates before they are scored, shape (n, features)."""
        encoding = self.encoding
        columns: list[FloatArray] = []
        for i, (name, upper) in enumerate(zip(encoding.names, encoding.upper, strict=True)):
            if name != "split":  # the index of a unit means another place in every depth: see the shares below
                columns += [(genes[:, i] == value).astype(np.float64) for value in range(1, int(upper) + 1)]
        split_at = genes[:, encoding.names.index("split")]
        sensor, aggregator = (split_at == encoding.space.max_units), (split_at == 0)
        split = (~sensor & ~aggregator).astype(np.float64)
        work = np.asarray(prediction.sensor_macs + prediction.aggregator_macs, dtype=np.float64)
        log_work, log_payload = np.log(np.maximum(work, 1.0)), np.log(np.maximum(prediction.payload_bytes, 1.0))
        share = np.asarray(prediction.sensor_macs, dtype=np.float64) / np.maximum(work, 1.0)
        columns += [sensor.astype(np.float64), split, log_work, log_work**2]
        columns += [split * share, split * share**2, split * log_payload, split * log_payload**2]
        return np.stack(columns, axis=1)
