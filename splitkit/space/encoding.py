"""Architectures as vectors of small integers, the form in which evolution and the vectorised predictor see them.

A vector has one entry per gene, in the order of `SearchSpace.choices`: the index of a choice. Any vector within bounds
stands for an architecture: a split or fuse beyond the network's depth is moved to the nearest allowed boundary.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from splitkit.space.architecture import Architecture
from splitkit.space.genes import phase_gene
from splitkit.space.search_space import SearchSpace

IntArray = NDArray[np.int64]


class Encoding:
    """Translates between `Architecture` and gene vectors of one space."""

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self._choices = space.choices
        self._phase_genes = tuple(space.phase_genes)
        self._genes = tuple(space.genes)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the genes, in the order of a vector: fields of `Architecture`, `phases[0].width`."""
        return tuple(self._choices)

    @property
    def upper(self) -> IntArray:
        """Largest value of each gene, shape (genes,); the smallest is 0."""
        return np.array([len(choices) - 1 for choices in self._choices.values()])

    def columns(self, genes: IntArray) -> dict[str, IntArray]:
        """Gene vectors, shape (n, genes), as one array of shape (n,) per gene, by name."""
        return dict(zip(self._choices, np.ascontiguousarray(np.asarray(genes).T), strict=True))

    def decode(self, genes: Sequence[int] | IntArray) -> Architecture:
        """The canonical architecture that any vector within bounds stands for."""
        space = self.space
        values = {name: choices[int(gene)] for (name, choices), gene in zip(self._choices.items(), genes, strict=True)}
        phases = tuple(
            space.phase_choice(**{name: values[phase_gene(i, name)] for name in self._phase_genes})
            for i in range(len(space.phases))
        )
        units = 2 + sum(phase.depth for phase in phases)
        whole = {name: values[name] for name in self._genes}
        whole |= {"split": self._nearest(values["split"], units), "fuse": min(values["fuse"], units - 1)}
        return space.canonical(space.architecture(space=space.name, phases=phases, **whole))

    def _nearest(self, split: int, units: int) -> int:
        """Units on the sensor for a value of the gene: the nearest boundary that the space's placements allow."""
        end = self.space.max_units
        allowed = {"aggregator": (0, 0), "split": (1, units - 1), "sensor": (end, end)}
        spans = [allowed[placement] for placement in self.space.placements]
        nearest = min((min(max(split, low), high) for low, high in spans), key=lambda value: abs(value - split))
        return units if nearest == end else nearest

    def encode(self, architecture: Architecture) -> IntArray:
        """Gene vector of a canonical member of the space, shape (genes,); `decode` gives the architecture back."""
        a, space = architecture, self.space
        values = a.values()
        values["split"] = space.max_units if a.split == a.units else a.split
        values["fuse"] = a.fuse if a.split == 0 and space.views > 1 else 1
        return np.array([choices.index(values[name]) for name, choices in self._choices.items()])

    def encode_all(self, architectures: Iterable[Architecture]) -> IntArray:
        """Stacked gene vectors, shape (n, genes)."""
        rows = [self.encode(architecture) for architecture in architectures]
        return np.stack(rows) if rows else np.zeros((0, len(self._choices)), dtype=np.int64)
