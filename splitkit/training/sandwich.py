"""Which sub-networks a step trains: the sandwich rule (Yu & Huang, ICCV 2019, section 3.1) with splits in it."""

from dataclasses import dataclass

import numpy as np

from splitkit.space.architecture import Architecture
from splitkit.space.encoding import Encoding
from splitkit.space.sampling import Sampler
from splitkit.space.search_space import SearchSpace
from splitkit.training.config import TrainConfig


@dataclass(frozen=True, slots=True)
class Sandwich:
    """The largest network, which learns from labels, and those that learn from it (from labels if it is left out)."""

    teacher: Architecture | None
    students: tuple[Architecture, ...]


class SandwichSampler:
    """Draws sandwiches; what it draws depends on the seed and the step alone.

    The teacher has no link to lose information over and changes sides from step to step, so that both whole chains
    learn from labels. The smallest network and the random ones are cut anywhere: the position is drawn evenly from
    all allowed ones, degenerate ends included, whatever share of the space each has, since every position has
    weights of its own to train (its reduce and fuse) and shifts what the two sides are asked for.
    """

    def __init__(self, space: SearchSpace, config: TrainConfig) -> None:
        self.space = space
        self.config = config
        self._encoding = Encoding(space)
        ends: list[str] = [placement for placement in ("aggregator", "sensor") if placement in space.placements]
        self._teachers = ends or ["split"]

    def draw(self, step: int) -> Sandwich:
        """The sub-networks of one step."""
        config, progress = self.config, (step + 0.5) / self.config.steps
        rng = np.random.default_rng((config.seed, step))
        sampler = Sampler(self.space, rng)
        coarse = progress < config.coarse
        others = tuple(self._cut(sampler.uniform(), rng, coarse=coarse) for _ in range(config.random_subnetworks))
        turn, left_out = divmod(step, config.sandwich_every)
        alone = progress < config.largest_alone
        if left_out and not alone:
            return Sandwich(None, others)
        teacher = self._cut(self.space.largest(1), rng, self._teachers[turn % len(self._teachers)], coarse=coarse)
        if alone:
            return Sandwich(teacher, ())
        return Sandwich(teacher, (self._cut(self.space.smallest(1), rng, coarse=coarse), *others))

    def _cut(
        self, architecture: Architecture, rng: np.random.Generator, placement: str | None = None, *, coarse: bool
    ) -> Architecture:
        """The architecture cut at an allowed position, or one of `placement`, with a splitting module drawn anew."""
        spans = {"aggregator": [0], "split": list(range(1, architecture.units)), "sensor": [architecture.units]}
        allowed = [at for p in self.space.placements if placement in (None, p) for at in spans[p]]
        position = int(rng.choice(allowed))
        genes, upper = self._encoding.encode(architecture), self._encoding.upper
        # Where the old cut had made these genes canonical, they matter again.
        for name in ("fuse", "reduce_ratio", "link_dtype", "fusion"):
            gene = self._encoding.names.index(name)
            genes[gene] = rng.integers(0, upper[gene] + 1)
        if coarse:
            genes[self._encoding.names.index("resolution")] = 0
        genes[self._encoding.names.index("split")] = position if position < architecture.units else self.space.max_units
        return self._encoding.decode(genes)
