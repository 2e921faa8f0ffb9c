"""One system evolved with NSGA-II (Deb et al., IEEE TEC 6(2), 2002; pymoo's implementation)."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.problem import Problem
from pymoo.core.termination import NoTermination

from splitkit.search.candidate import Run, candidates_of
from splitkit.search.config import Constraints, SearchConfig
from splitkit.search.foresight import Foresight
from splitkit.search.operators import SpaceCrossover, SpaceMutation, Unseen, first_population, row_key
from splitkit.search.prefilter import Prefilter
from splitkit.search.protocol import Evaluator, FloatArray, Predictor
from splitkit.space import Architecture, Sampler, SearchSpace
from splitkit.space.encoding import Encoding, IntArray
from splitkit.space.search_space import Placement

MATING_ATTEMPTS = 10
"""Tries to fill a generation with new architectures before it is taken that few are left."""


def evolve(
    space: SearchSpace,
    placement: Placement,
    predictor: Predictor,
    evaluator: Evaluator,
    constraints: Constraints,
    config: SearchConfig,
    seeds: Sequence[Architecture] = (),
    scored: Mapping[Architecture, float] | None = None,
    foresight: Foresight | None = None,
    on_generation: Callable[[int, Run], None] = lambda generation, run: None,
) -> Run:
    """Evolve the systems of one placement for `config.generations`; every candidate evaluated is in the result.

    Accuracy is asked for only where the constraints hold. Offspring that were seen before are not evaluated again;
    when no new ones can be found the space is taken to be exhausted and the run ends early. With `config.oversample`
    above 1 that many times `config.population` are proposed in every generation, and a model of accuracy chooses which
    are scored.

    Args:
        space: the whole space; it is restricted to `placement` here.
        seeds: architectures of that placement to start from, ahead of random ones.
        scored: accuracies known from elsewhere, for the model of accuracy to learn from.
        foresight: where what that model said is kept.
        on_generation: told the number of generations done and the run so far, after each.
    """
    run = Run()
    chance = np.random.default_rng([config.seed, ("sensor", "aggregator", "split").index(placement)])
    sampler = Sampler(space.restricted(placement), chance)
    encoding = Encoding(space)
    prefilter = Prefilter(encoding, predictor, constraints, scored or {}, foresight or Foresight(), chance)
    problem = _SplitProblem(encoding, predictor, evaluator, constraints, run, prefilter)
    algorithm = NSGA2(
        pop_size=config.population,
        n_offsprings=config.population * config.oversample,
        sampling=first_population(sampler, config.population, list(seeds)),
        crossover=SpaceCrossover(sampler, config.crossover),
        mutation=SpaceMutation(sampler, config.steps, config.mutation),
        eliminate_duplicates=Unseen(run.seen),
    )
    algorithm.setup(problem, termination=NoTermination(), seed=int(chance.integers(2**31)), verbose=False)
    algorithm.mating.n_max_iterations = MATING_ATTEMPTS
    for generation in range(1, config.generations + 1):
        proposals = algorithm.ask()
        if proposals is None or len(proposals) == 0:
            break
        offspring = prefilter.choose(proposals, config.population)
        algorithm.evaluator.eval(problem, offspring)
        algorithm.tell(infills=offspring)
        on_generation(generation, run)
    return run


class _SplitProblem(Problem):  # type: ignore[misc]
    """Minimise (1 - accuracy, log total latency) over gene vectors; the run collects what is evaluated.

    The logarithm changes no dominance; it makes crowding even out ratios of latency rather than differences.
    """

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
        accuracy = np.zeros(len(genes))
        if architectures:
            accuracy[feasible] = self.evaluator.accuracy(architectures)
        self.run.candidates += candidates_of(architectures, accuracy[feasible], prediction, feasible)
        self.prefilter.learn(genes, accuracy[feasible], feasible)
        self.run.infeasible += len(genes) - len(feasible)
        self.run.seen.update(row_key(row) for row in genes)
        out["F"] = np.column_stack([1.0 - accuracy, np.log(np.maximum(prediction.total_us, 1e-9))])
        if violations.shape[1]:
            out["G"] = violations
