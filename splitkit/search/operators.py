"""The space's own sampling, mutation and crossover, as pymoo wants them."""

from typing import Any

import numpy as np
from pymoo.core.crossover import Crossover
from pymoo.core.duplicate import DuplicateElimination
from pymoo.core.mutation import Mutation
from pymoo.core.population import Population

from splitkit.space import Architecture, Sampler
from splitkit.space.encoding import IntArray


class SpaceCrossover(Crossover):  # type: ignore[misc]
    """Two parents, two children, each gene of either parent; children are canonical."""

    def __init__(self, sampler: Sampler, probability: float) -> None:
        super().__init__(2, 2, prob=probability)
        self.sampler = sampler

    def _do(self, problem: Any, parents: IntArray, **_: Any) -> IntArray:
        """Parents (2, matings, genes) -> children of the same shape."""
        encoding = self.sampler.encoding
        children = np.empty_like(parents)
        for i in range(parents.shape[1]):
            first, second = encoding.decode(parents[0, i]), encoding.decode(parents[1, i])
            for child in (0, 1):
                children[child, i] = encoding.encode(self.sampler.crossover(first, second))
        return children


class SpaceMutation(Mutation):  # type: ignore[misc]
    """Either one gene a step up or down, or at least one gene redrawn; the mutant is canonical.

    Neighbouring choices make similar networks: steps are what finds the exact optimum near a good candidate, redraws
    are what finds another region.
    """

    def __init__(self, sampler: Sampler, steps: float, redraws: float) -> None:
        super().__init__(prob=1.0)
        self.sampler = sampler
        self.steps, self.redraws = steps, redraws

    def _do(self, problem: Any, genes: IntArray, **_: Any) -> IntArray:
        """Genes (n, genes) -> the same shape."""
        return self.sampler.encoding.encode_all(self._mutant(row) for row in genes)

    def _mutant(self, genes: IntArray) -> Architecture:
        chance, encoding = self.sampler.rng, self.sampler.encoding
        if chance.random() >= self.steps:
            return self.sampler.mutate(encoding.decode(genes), self.redraws)
        moved, upper = genes.copy(), encoding.upper
        gene = chance.choice(np.flatnonzero(upper))
        moved[gene] = chance.choice([v for v in (genes[gene] - 1, genes[gene] + 1) if 0 <= v <= upper[gene]])
        return encoding.decode(moved)


class Unseen(DuplicateElimination):  # type: ignore[misc]
    """Lets pass only gene vectors that were not evaluated before in this run, each once."""

    def __init__(self, seen: set[bytes]) -> None:
        super().__init__()
        self.seen = seen

    def do(self, pop: Population, *others: Population, **_: Any) -> Population:
        """The members of `pop` that are neither seen, nor in `others`, nor earlier in `pop`."""
        known = {row_key(row) for other in others for row in other.get("X")}
        keep = []
        for i, individual in enumerate(pop):
            key = row_key(individual.X)
            if key not in known and key not in self.seen:
                keep.append(i)
            known.add(key)
        return pop[keep]


def row_key(genes: IntArray) -> bytes:
    """A hashable form of one gene vector."""
    return np.asarray(genes, dtype=np.int64).tobytes()


def first_population(sampler: Sampler, size: int, seeds: list[Architecture]) -> IntArray:
    """Distinct architectures to start from: seeds, the space's extremes, uniform draws; (at most `size`, genes)."""
    chosen = dict.fromkeys([*seeds, *_extremes(sampler)][:size])
    for _ in range(20 * size):
        if len(chosen) >= size:
            break
        chosen.setdefault(sampler.uniform())
    return sampler.encoding.encode_all(chosen)


def _extremes(sampler: Sampler) -> list[Architecture]:
    """The smallest and the largest network, cut early, in the middle and late as far as the placements allow."""
    space = sampler.space
    extremes = []
    for make in (space.smallest, space.largest):
        units = make(0).units
        cuts = [cut for cut in (1, units // 2, units - 1) if "split" in space.placements]
        cuts += [0] if "aggregator" in space.placements else []
        cuts += [units] if "sensor" in space.placements else []
        extremes += [make(cut) for cut in cuts]
    return extremes
