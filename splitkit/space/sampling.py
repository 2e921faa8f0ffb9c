"""Exact size, exactly uniform sampling, mutation and crossover of a search space."""

from itertools import pairwise
from math import prod
from typing import TypeVar

import numpy as np

from splitkit.space.architecture import Architecture, PhaseChoice
from splitkit.space.encoding import Encoding
from splitkit.space.genes import at_a_splitting_module
from splitkit.space.search_space import SearchSpace

T = TypeVar("T")


SHAPED = frozenset({"stem_width", "split", "fuse", "reduce_ratio"})
SHAPED_IN_PHASE = frozenset({"width", "before", "after"})
"""Genes whose choices are not equally likely, since what can be cut depends on them. The rest is drawn evenly."""


class _Term:
    """The architectures of one placement whose splitting module stands in one region: the stem, or one phase (or none).

    Within a term every choice is independent once phases are weighted by depth and by distinct ratios, so its size
    is a product and a uniform draw is a draw from each factor.
    """

    def __init__(self, space: SearchSpace, region: int | None, placement: str) -> None:
        self.region, self.placement = region, placement
        ratios = {w: len(space.distinct_ratios(w)) for w in (*space.stem.widths, *_phase_widths(space))}
        self.even = {
            name: gene.of(space) if gene.matters(space.views, placement) else gene.of(space)[:1]
            for name, gene in space.genes.items()
            if name not in SHAPED
        }
        self.even_in_phase = [
            {name: gene.of(phase) for name, gene in space.phase_genes.items() if name not in SHAPED_IN_PHASE}
            for phase in space.phases
        ]
        self.stem_weights = [ratios[w] if region == -1 else 1 for w in space.stem.widths]
        self.phase_width_weights = [
            [ratios[w] if region == i else 1 for w in phase.widths] for i, phase in enumerate(space.phases)
        ]
        self.phase_depth_weights = [
            [b + 1 + a if region == i else 1 for b in phase.before for a in phase.after]
            for i, phase in enumerate(space.phases)
        ]
        self.size = sum(self.stem_weights) * prod(len(choices) for choices in self.even.values())
        for widths, depths, even in zip(
            self.phase_width_weights, self.phase_depth_weights, self.even_in_phase, strict=True
        ):
            self.size *= sum(widths) * sum(depths) * prod(len(choices) for choices in even.values())


def _phase_widths(space: SearchSpace) -> list[int]:
    return [width for phase in space.phases for width in phase.widths]


def _terms(space: SearchSpace) -> list[_Term]:
    regions = range(-1, len(space.phases))
    terms = []
    for placement in ("split", "aggregator", "sensor"):
        if placement not in space.placements:
            continue
        if at_a_splitting_module(space.views, placement):
            terms += [_Term(space, region, placement) for region in regions]
        else:
            terms.append(_Term(space, None, placement))
    return terms


def space_size(space: SearchSpace) -> int:
    """Number of canonical architectures, exact."""
    return sum(term.size for term in _terms(space))


class Sampler:
    """Draws architectures of one space from a numpy generator."""

    def __init__(self, space: SearchSpace, rng: np.random.Generator) -> None:
        self.space = space
        self.rng = rng
        self.encoding = Encoding(space)
        self._terms = _terms(space)
        sizes = np.array([term.size for term in self._terms], dtype=np.float64)
        self._term_weights = sizes / sizes.sum()

    def uniform(self) -> Architecture:
        """A canonical architecture, each with the same probability."""
        term = self._terms[self.rng.choice(len(self._terms), p=self._term_weights)]
        space = self.space
        stem = self._weighted(space.stem.widths, term.stem_weights)
        phases = tuple(self._phase(term, i) for i in range(len(space.phases)))
        units = 2 + sum(phase.depth for phase in phases)
        ratio, boundary = space.link.reduce_ratios[0], 0
        if term.region is not None:
            width = stem if term.region == -1 else phases[term.region].width
            ratio = self._pick(space.distinct_ratios(width))
            ends = [1, *(1 + int(n) for n in np.cumsum([phase.depth for phase in phases]))]
            spans = [(1, 1), *((low + 1, high) for low, high in pairwise(ends))]
            low, high = spans[term.region + 1]
            boundary = int(self.rng.integers(low, high + 1))
        split = {"aggregator": 0, "split": boundary, "sensor": units}[term.placement]
        fuse = units if term.placement == "sensor" else boundary
        values = {name: self._pick(choices) for name, choices in term.even.items()}
        return space.architecture(
            space=space.name, phases=phases, stem_width=stem, split=split, fuse=fuse, reduce_ratio=ratio, **values
        )

    def mutate(self, architecture: Architecture, probability: float = 0.1) -> Architecture:
        """Each gene redrawn with `probability`, at least one of them; the result is canonical."""
        genes, upper = self.encoding.encode(architecture), self.encoding.upper
        redraw = self.rng.random(len(genes)) < probability
        redraw[self.rng.choice(np.flatnonzero(upper))] = True
        return self.encoding.decode(np.where(redraw, self.rng.integers(0, upper + 1), genes))

    def crossover(self, first: Architecture, second: Architecture) -> Architecture:
        """Each gene from either parent with equal probability; the result is canonical."""
        a, b = self.encoding.encode(first), self.encoding.encode(second)
        return self.encoding.decode(np.where(self.rng.random(len(a)) < 0.5, a, b))

    def _phase(self, term: _Term, i: int) -> PhaseChoice:
        phase = self.space.phases[i]
        depths = tuple((before, after) for before in phase.before for after in phase.after)
        before, after = self._weighted(depths, term.phase_depth_weights[i])
        width = self._weighted(phase.widths, term.phase_width_weights[i])
        values = {name: self._pick(choices) for name, choices in term.even_in_phase[i].items()}
        return self.space.phase_choice(width=width, before=before, after=after, **values)

    def _pick(self, choices: tuple[T, ...]) -> T:
        return choices[int(self.rng.integers(len(choices)))]

    def _weighted(self, choices: tuple[T, ...], weights: list[int]) -> T:
        p = np.array(weights, dtype=np.float64)
        return choices[int(self.rng.choice(len(choices), p=p / p.sum()))]
