"""Exact size, exactly uniform sampling, mutation and crossover of a search space."""

from itertools import pairwise
from typing import TypeVar

import numpy as np

from splitkit.space.architecture import Architecture, PhaseChoice
from splitkit.space.encoding import Encoding
from splitkit.space.search_space import LinkDtype, PhaseSpace, SearchSpace

T = TypeVar("T")


class _Term:
    """The architectures whose splitting module stands in one region: the stem, or one phase (or nowhere).

    Within a term every choice is independent once phases are weighted by depth and by distinct ratios, so its size
    is a product and a uniform draw is a draw from each factor.
    """

    def __init__(
        self, space: SearchSpace, region: int | None, dtypes: tuple[LinkDtype, ...], ends: tuple[str, ...]
    ) -> None:
        self.region, self.dtypes, self.ends = region, dtypes, ends
        ratios = {w: len(space.distinct_ratios(w)) for w in (*space.stem.widths, *_phase_widths(space))}
        self.stem_weights = [ratios[w] if region == -1 else 1 for w in space.stem.widths]
        self.phase_width_weights = [
            [ratios[w] if region == i else 1 for w in phase.widths] for i, phase in enumerate(space.phases)
        ]
        self.phase_depth_weights = [
            [b + 1 + a if region == i else 1 for b in phase.before for a in phase.after]
            for i, phase in enumerate(space.phases)
        ]
        size = len(space.input.resolutions) * len(space.head.widths) * sum(self.stem_weights)
        for phase, widths, depths in zip(space.phases, self.phase_width_weights, self.phase_depth_weights, strict=True):
            size *= sum(widths) * sum(depths) * len(phase.kernels) * len(phase.expands)
        self.size = size * (len(dtypes) if region is not None else 1) * len(ends)


def _phase_widths(space: SearchSpace) -> list[int]:
    return [width for phase in space.phases for width in phase.widths]


def _terms(space: SearchSpace) -> list[_Term]:
    regions = range(-1, len(space.phases))
    terms = []
    if "split" in space.placements:
        terms += [_Term(space, region, space.link.dtypes, ("split",)) for region in regions]
    if "aggregator" in space.placements:
        if space.views > 1:
            terms += [_Term(space, region, space.link.dtypes[:1], ("aggregator",)) for region in regions]
        else:
            terms.append(_Term(space, None, (), ("aggregator",)))
    if "sensor" in space.placements:
        terms.append(_Term(space, None, (), ("sensor",)))
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
        phases = tuple(
            self._phase(phase, widths, depths)
            for phase, widths, depths in zip(
                space.phases, term.phase_width_weights, term.phase_depth_weights, strict=True
            )
        )
        units = 2 + sum(phase.depth for phase in phases)
        ratio, dtype = space.link.reduce_ratios[0], space.link.dtypes[0]
        boundary = 0
        if term.region is not None:
            width = stem if term.region == -1 else phases[term.region].width
            ratio = self._pick(space.distinct_ratios(width))
            dtype = self._pick(term.dtypes)
            ends = [1, *(1 + int(n) for n in np.cumsum([phase.depth for phase in phases]))]
            spans = [(1, 1), *((low + 1, high) for low, high in pairwise(ends))]
            low, high = spans[term.region + 1]
            boundary = int(self.rng.integers(low, high + 1))
        end = term.ends[0]
        split = {"aggregator": 0, "split": boundary, "sensor": units}[end]
        fuse = units if end == "sensor" else boundary
        resolution, head = self._pick(space.input.resolutions), self._pick(space.head.widths)
        return Architecture(space.name, resolution, stem, phases, head, split, fuse, ratio, dtype)

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

    def _phase(self, phase: PhaseSpace, width_weights: list[int], depth_weights: list[int]) -> PhaseChoice:
        depths = tuple((before, after) for before in phase.before for after in phase.after)
        before, after = self._weighted(depths, depth_weights)
        width = self._weighted(phase.widths, width_weights)
        return PhaseChoice(width, before, after, self._pick(phase.kernels), self._pick(phase.expands))

    def _pick(self, choices: tuple[T, ...]) -> T:
        return choices[int(self.rng.integers(len(choices)))]

    def _weighted(self, choices: tuple[T, ...], weights: list[int]) -> T:
        p = np.array(weights, dtype=np.float64)
        return choices[int(self.rng.choice(len(choices), p=p / p.sum()))]
