"""One system evolved with NSGA-II (Deb et al., IEEE TEC 6(2), 2002; pymoo's implementation)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.core.termination import NoTermination

from splitkit.scores import FloatArray, Score
from splitkit.search.candidate import Run, candidates_of
from splitkit.search.config import Constraints, SearchConfig
from splitkit.search.model_quality import ModelRecord
from splitkit.search.operators import SpaceCrossover, SpaceMutation, Unseen, first_population, row_key
from splitkit.search.prefilter import Prefilter, objectives
from splitkit.search.protocol import Evaluator, Predictor
from splitkit.space import Architecture, Sampler, SearchSpace
from splitkit.space.encoding import Encoding, IntArray
from splitkit.space.search_space import Placement

MATING_ATTEMPTS = 100
"""Tries to fill a generation with new architectures before it is taken that few are left."""

WORST = -1e3
"""Log-likelihood that stands for candidates beyond a constraint, which are not scored; their excess ranks them."""


class Evolution:
    """The systems of one placement, evolved generation by generation.

    Scores are asked for only where the constraints hold. Offspring that were seen before are not evaluated again; when
    no new ones can be found the space is taken to be exhausted. With `config.oversample` above 1 that many times
    `config.population` are proposed in every generation, and a model of the scores chooses which are scored.

    Args:
        space: the whole space; it is restricted to `placement` here.
        seeds: architectures of that placement to start from, ahead of random ones.
        scored: scores known from elsewhere, for their model to learn from.
        model_record: what that model said, kept over several evolutions.

    Attributes:
        run: every candidate evaluated so far.
    """

    def __init__(
        self,
        space: SearchSpace,
        placement: Placement,
        predictor: Predictor,
        evaluator: Evaluator,
        constraints: Constraints,
        config: SearchConfig,
        seeds: Sequence[Architecture] = (),
        scored: Mapping[Architecture, Score] | None = None,
        model_record: ModelRecord | None = None,
    ) -> None:
        self.run = Run()
        self.config = config
        self.exhausted = False
        chance = np.random.default_rng([config.seed, ("sensor", "aggregator", "split").index(placement)])
        sampler = Sampler(space.restricted(placement), chance)
        self._encoding = Encoding(space)
        self._prefilter = Prefilter(
            self._encoding, predictor, constraints, scored or {}, model_record or ModelRecord(), chance
        )
        self._problem = _SplitProblem(
            self._encoding, predictor, evaluator, constraints, self.run, self._prefilter
        )  # fmt: skip
        self._algorithm = NSGA2(
            pop_size=config.population,
            n_offsprings=config.population * config.oversample,
            sampling=first_population(sampler, config.population, list(seeds)),
            crossover=SpaceCrossover(sampler, config.crossover),
            mutation=SpaceMutation(sampler, config.steps, config.mutation),
            eliminate_duplicates=Unseen(self.run.seen),
        )
        seed = int(chance.integers(2**31))
        self._algorithm.setup(self._problem, termination=NoTermination(), seed=seed, verbose=False)
        self._algorithm.mating.n_max_iterations = MATING_ATTEMPTS

    def advance(self, immigrants: Sequence[Architecture] = ()) -> None:
        """Evaluate one more generation, at most `config.population` candidates, `immigrants` among them."""
        rows = self._encoding.encode_all(immigrants)
        proposals = self._algorithm.ask()
        if proposals is None or len(proposals) == 0:
            self.exhausted = not len(rows)
            if len(rows):
                self._algorithm.evaluator.eval(self._problem, Population.new(X=rows))
            return
        known = {row_key(row) for row in rows}
        own = proposals[[i for i, row in enumerate(proposals.get("X")) if row_key(row) not in known]]
        left = self.config.population - len(rows)
        own = self._prefilter.choose(own, left) if self.config.oversample > 1 and left else own[:left]
        generation = Population.merge(own, Population.new(X=rows)) if len(rows) else own
        self._algorithm.evaluator.eval(self._problem, generation)
        self._algorithm.tell(infills=generation)


class _SplitProblem(Problem):  # type: ignore[misc]
    """Minimise loss and latency, as `objectives` has them, over gene vectors; the run collects what is evaluated."""

    def __init__(
        self,
        encoding: Encoding,
        predictor: Predictor,
        evaluator: Evaluator,
        constraints: Constraints,
        run: Run,
        prefilter: Prefilter,
    ) -> None:
        upper = encoding.upper
        limits = len(constraints.limits())
        super().__init__(n_var=len(upper), n_obj=2, n_ieq_constr=limits, xl=np.zeros_like(upper), xu=upper, vtype=int)
        self.encoding, self.predictor, self.evaluator = encoding, predictor, evaluator
        self.constraints, self.run, self.prefilter = constraints, run, prefilter

    def _evaluate(self, x: IntArray, out: dict[str, FloatArray], *_: Any, **__: Any) -> None:
        genes = np.asarray(x, dtype=np.int64)
        prediction = self.predictor.predict(genes)
        violations = self.constraints.violations(prediction)
        feasible = np.flatnonzero(np.all(violations <= 0, axis=1))
        architectures = [self.encoding.decode(genes[i]) for i in feasible]
        scores = self.evaluator.score(architectures) if architectures else []
        log_likelihood = np.full(len(genes), WORST)
        log_likelihood[feasible] = [score.log_likelihood for score in scores]
        self.run.candidates += candidates_of(architectures, scores, prediction, feasible)
        self.prefilter.learn(genes, log_likelihood[feasible], feasible)
        self.run.infeasible += len(genes) - len(feasible)
        self.run.seen.update(row_key(row) for row in genes)
        out["F"] = objectives(log_likelihood, prediction)
        if violations.shape[1]:
            out["G"] = violations
