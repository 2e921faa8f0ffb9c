"""Which of many proposed candidates are scored, by a model of their scores that is fitted anew every generation."""

from collections.abc import Mapping

import numpy as np
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.operators.survival.rank_and_crowding import RankAndCrowding

from splitkit.scores import FloatArray, Score
from splitkit.search.accuracy_model import AccuracyModel
from splitkit.search.config import Constraints
from splitkit.search.model_quality import ModelRecord
from splitkit.search.protocol import PredictionArrays, Predictor
from splitkit.space import Architecture
from splitkit.space.encoding import Encoding, IntArray

LEAST = 1e-9
"""Stands for nothing in a logarithm."""

AT_RANDOM = 0.125
"""Share of a generation that is drawn from the proposals whatever the model says, so that it also learns where it was
wrong to look away."""


class Prefilter:
    """Chooses which proposals of a generation are scored.

    Args:
        scored: scores known from elsewhere (earlier rounds, other systems); they teach the model too.
        model_record: where what the model said is kept.
    """

    def __init__(
        self,
        encoding: Encoding,
        predictor: Predictor,
        constraints: Constraints,
        scored: Mapping[Architecture, Score],
        model_record: ModelRecord,
        chance: np.random.Generator,
    ) -> None:
        self.predictor, self.constraints = predictor, constraints
        self.model_record, self.chance = model_record, chance
        self._model = AccuracyModel(encoding)
        self._encoding = encoding
        self._genes = encoding.encode_all(scored)
        self._log_likelihood = np.array([score.log_likelihood for score in scored.values()], dtype=np.float64)
        self._waiting: FloatArray = np.zeros(0)

    def choose(self, proposals: Population, count: int) -> Population:
        """At most `count` of the proposals, the most promising ones: what `learn` is told of next."""
        self._waiting = np.zeros(0)
        if len(proposals) <= count:
            return proposals
        genes = np.asarray(proposals.get("X"), dtype=np.int64)
        prediction = self.predictor.predict(genes)
        self._model.fit(self._genes, self.predictor.predict(self._genes), self._log_likelihood)
        if not self._model.fitted:
            return proposals[:count]
        said = self._model.predict(genes, prediction)
        chosen = self._best(said, prediction, count)
        self.model_record.proposed += len(proposals)
        self._waiting = said[chosen]
        return proposals[chosen]

    def learn(self, genes: IntArray, log_likelihood: FloatArray, feasible: IntArray) -> None:
        """What came of the chosen ones: log-likelihoods (feasible,) of the rows `feasible` of genes (n, genes).

        Rows behind the chosen ones were not: they teach the model, and say nothing of how well it ranked.
        """
        self._genes = np.concatenate([self._genes, genes[feasible]])
        self._log_likelihood = np.concatenate([self._log_likelihood, log_likelihood])
        chosen = feasible < len(self._waiting)
        self.model_record.predicted += self._waiting[feasible[chosen]].tolist()
        self.model_record.scored += log_likelihood[chosen].tolist()

    def _best(self, said: FloatArray, prediction: PredictionArrays, count: int) -> list[int]:
        """Indices by non-dominated rank and crowding of predicted likelihood and latency, and some drawn at random."""
        excess = np.maximum(self.constraints.violations(prediction), 0.0).sum(axis=1)
        allowed = np.flatnonzero(excess == 0)
        if len(allowed) <= count:
            return sorted(int(i) for i in np.argsort(excess, kind="stable")[:count])
        drawn = round(AT_RANDOM * count)
        wanted = objectives(said, prediction)[allowed]
        population = Population.new(X=allowed[:, None], F=wanted)
        best = RankAndCrowding().do(_BARE, population, n_survive=count - drawn, random_state=self.chance)
        chosen = best.get("X")[:, 0].astype(np.int64)
        some = self.chance.choice(np.setdiff1d(allowed, chosen), drawn, replace=False)
        return sorted(int(i) for i in (*chosen, *some))


def objectives(log_likelihood: FloatArray, prediction: PredictionArrays) -> FloatArray:
    """What is minimised, shape (n, 2): the logarithms of the loss, which is -log_likelihood, and of the latency.

    They give a factor of two the same weight everywhere on the front, fast and slow, good and bad ends alike.
    """
    return np.log(np.maximum(np.column_stack([-log_likelihood, prediction.total_us]), LEAST))  # type: ignore[no-any-return]


_BARE = Problem(n_var=1, n_obj=2)
"""Ranking needs a problem only to ask whether it has constraints."""
