"""Architectures as vectors of small integers, the form in which evolution and the vectorised predictor see them.

Genes, in order: resolution, stem width, five per phase (width, before, after, kernel, expand), head width, position,
fuse, reduce ratio, link dtype. Each is the index of a choice, except two: `position` counts the units on the sensor,
its largest value meaning all of them whatever the depth; `fuse` + 1 is the boundary of the splitting module where the
whole multi-view network runs on the aggregator.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from splitkit.space.architecture import Architecture, PhaseChoice
from splitkit.space.search_space import SearchSpace

IntArray = NDArray[np.int64]

PHASE_GENES = ("width", "before", "after", "kernel", "expand")
HEAD_GENES = ("resolution", "stem_width")
TAIL_GENES = ("head_width", "position", "fuse", "reduce_ratio", "link_dtype")


class Encoding:
    """Translates between `Architecture` and gene vectors of one space."""

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self._choices: list[tuple[object, ...]] = [space.input.resolutions, space.stem.widths]
        for phase in space.phases:
            self._choices += [phase.widths, phase.before, phase.after, phase.kernels, phase.expands]
        self._choices.append(space.head.widths)
        position = tuple(range(space.max_units + 1))
        fuse = tuple(range(1, space.max_units)) if space.views > 1 else (1,)
        self._choices += [position, fuse, space.link.reduce_ratios, space.link.dtypes]
        self.names = HEAD_GENES + PHASE_GENES * len(space.phases) + TAIL_GENES

    @property
    def upper(self) -> IntArray:
        """Largest value of each gene, shape (genes,); the smallest is 0."""
        return np.array([len(choices) - 1 for choices in self._choices])

    def decode(self, genes: Sequence[int] | IntArray) -> Architecture:
        """The canonical architecture that any vector within bounds stands for (positions are clipped to the depth)."""
        space = self.space
        values = [choices[int(gene)] for choices, gene in zip(self._choices, genes, strict=True)]
        resolution, stem, *rest = values
        *phase_values, head, position, fuse, ratio, dtype = rest
        phases = tuple(
            PhaseChoice(*phase_values[i : i + 5])  # type: ignore[arg-type]
            for i in range(0, len(phase_values), 5)
        )
        units = 2 + sum(phase.depth for phase in phases)
        split = self._position(int(position), units)  # type: ignore[call-overload]
        fuse = min(int(fuse), units - 1) if split == 0 and space.views > 1 else split  # type: ignore[call-overload]
        return space.canonical(
            Architecture(space.name, resolution, stem, phases, head, split, fuse, ratio, dtype)  # type: ignore[arg-type]
        )

    def _position(self, position: int, units: int) -> int:
        """Units on the sensor for a position gene: the nearest boundary that the space's placements allow."""
        placements = self.space.placements
        end = self.space.max_units
        allowed = {"aggregator": (0, 0), "split": (1, units - 1), "sensor": (end, end)}
        spans = [allowed[placement] for placement in placements]
        clipped = [min(max(position, low), high) for low, high in spans]
        nearest = min(clipped, key=lambda value: abs(value - position))
        return units if nearest == end else nearest

    def encode(self, architecture: Architecture) -> IntArray:
        """Gene vector of a canonical member of the space, shape (genes,); `decode` gives the architecture back."""
        a, space = architecture, self.space
        position = space.max_units if a.split == a.units else a.split
        fuse = a.fuse if a.split == 0 and space.views > 1 else 1
        values: list[object] = [a.resolution, a.stem_width]
        for p in a.phases:
            values += [p.width, p.before, p.after, p.kernel, p.expand]
        values += [a.head_width, position, fuse, a.reduce_ratio, a.link_dtype]
        return np.array([choices.index(v) for choices, v in zip(self._choices, values, strict=True)])

    def encode_all(self, architectures: Iterable[Architecture]) -> IntArray:
        """Stacked gene vectors, shape (n, genes)."""
        rows = [self.encode(architecture) for architecture in architectures]
        return np.stack(rows) if rows else np.zeros((0, len(self._choices)), dtype=np.int64)
