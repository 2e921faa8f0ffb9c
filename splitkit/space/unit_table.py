"""Which units a gene vector stands for, for a whole population at once, without a Python loop per architecture.

Equal blocks of a phase need not be told apart, so an architecture is at most four kinds of block per phase, each with
how many of them run on either side, beside the stem, the head and the splitting module. Every kind of unit has a dense
table of all units it can be, numbered in mixed radix; a column holds such numbers. Gene vectors are read as
`Encoding.decode` reads them, so any vector within bounds will do.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitkit.space.architecture import PhaseChoice
from splitkit.space.encoding import Encoding, IntArray
from splitkit.space.genes import phase_gene
from splitkit.space.network import block_unit, fuse_unit, head_unit, stem_unit
from splitkit.space.search_space import PhaseSpace, SearchSpace
from splitkit.space.units import MeanScores, Reduce, Unit

Counts = NDArray[np.int64]

DEPTH_GENES = ("before", "after")
"""Genes of a phase that say how many blocks it has; all others shape each of its blocks."""


@dataclass(frozen=True)
class UnitRows:
    """The units of n architectures, in c columns.

    Attributes:
        ids: index into `UnitTable.units`, shape (n, c); where both counts are 0 the entry means nothing.
        sensor, aggregator: how often that unit runs on one sensor and on the aggregator, shape (n, c).
        split: units on the sensor; 0 means all on the aggregator, shape (n,).
        on_sensor: whether all units are on the sensor, shape (n,).
        link: column-independent id of the `Reduce` unit whose output is sent; -1 at either degenerate end, shape (n,).
    """

    ids: IntArray
    sensor: Counts
    aggregator: Counts
    split: IntArray
    on_sensor: NDArray[np.bool_]
    link: IntArray


@dataclass(frozen=True)
class _Kind:
    """All units of one kind: entry `ravel(index)` + `offset` of the table; `shape` is the radix of each index."""

    offset: int
    shape: tuple[int, ...]

    def ids(self, *index: IntArray | np.int64) -> IntArray:
        """Numbers of entries; indices are arrays of shape (n,) or the same for all."""
        code = index[0]
        for values, radix in zip(index[1:], self.shape[1:], strict=True):
            code = code * radix + values
        return np.asarray(code + self.offset)


class UnitTable:
    """Every unit that an architecture of one space can contain."""

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self.encoding = Encoding(space)
        self._block_genes = tuple(name for name in space.phase_genes if name not in DEPTH_GENES)
        self._makers: list[Callable[[int], Unit]] = []
        self._offsets: list[int] = []
        self._size = 0
        self._resolutions = space.input.resolutions
        self._batches = (1, space.views) if space.views > 1 else (1,)
        self._dtypes: tuple[str, ...] = (*space.link.dtypes, "unlinked") if space.views > 1 else space.link.dtypes
        self._stems = self._add((len(self._batches), len(self._resolutions), len(space.stem.widths)), self._stem)
        self._phases = [self._add_phase(i) for i in range(len(space.phases))]
        self._heads = self._add(
            (len(self._resolutions), len(space.phases[-1].widths), len(space.head.widths)), self._head
        )
        self._regions = [self._add_region(i) for i in range(-1, len(space.phases))]
        self._scores = (
            self._add((1,), lambda _: MeanScores(space.views, space.head.classes, space.input.masked))
            if space.views > 1
            else None
        )
        self._cache: dict[int, Unit] = {}

    def __len__(self) -> int:
        """Number of entries; equal units may have several."""
        return self._size

    def unit(self, number: int) -> Unit:
        """The unit of one entry."""
        if number not in self._cache:
            kind = int(np.searchsorted(self._offsets, number, side="right")) - 1
            self._cache[number] = self._makers[kind](number - self._offsets[kind])
        return self._cache[number]

    def _add(self, shape: tuple[int, ...], make: Callable[..., Unit]) -> _Kind:
        kind = _Kind(self._size, shape)
        self._makers.append(lambda code: make(*(int(i) for i in np.unravel_index(code, shape))))
        self._offsets.append(self._size)
        self._size += prod(shape)
        return kind

    # --- what the entries are ---

    def _size_before(self, phase: int, resolution: int) -> int:
        """Side of the activations entering a phase."""
        size = ceil(self._resolutions[resolution] / self.space.stem.stride)
        for earlier in self.space.phases[:phase]:
            size = ceil(size / earlier.stride)
        return size

    def _widths_before(self, phase: int) -> tuple[int, ...]:
        return self.space.stem.widths if phase == 0 else self.space.phases[phase - 1].widths

    def _stem(self, batch: int, resolution: int, width: int) -> Unit:
        space = self.space
        return stem_unit(space, self._batches[batch], self._resolutions[resolution], space.stem.widths[width])

    def _add_phase(self, i: int) -> tuple[_Kind, _Kind]:
        """Blocks at the incoming size (strided or not), and those behind the stride.

        The incoming width is an index into the widths before, or one past them: the phase's own width.
        """
        phase, before = self.space.phases[i], self._widths_before(i)
        own = tuple(len(self.space.phase_genes[name].of(phase)) for name in self._block_genes)
        first = (len(self._batches), len(self._resolutions), 2, len(before) + 1, *own)
        rest = (len(self._batches), len(self._resolutions), *own)

        def entering(batch: int, resolution: int, strided: int, source: int, *own: int) -> Unit:
            choice = self._choice(phase, own)
            channels = choice.width if source == len(before) else before[source]
            size, stride = self._size_before(i, resolution), phase.stride if strided else 1
            return block_unit(phase, choice, self._batches[batch], channels, size, stride)

        def behind(batch: int, resolution: int, *own: int) -> Unit:
            choice = self._choice(phase, own)
            size = self._size_before(i + 1, resolution)
            return block_unit(phase, choice, self._batches[batch], choice.width, size, 1)

        return self._add(first, entering), self._add(rest, behind)

    def _choice(self, phase: PhaseSpace, own: Sequence[int]) -> PhaseChoice:
        """What the genes that shape a block say; how many blocks there are does not."""
        values: dict[str, Any] = dict.fromkeys(DEPTH_GENES, 0)
        for name, i in zip(self._block_genes, own, strict=True):
            values[name] = self.space.phase_genes[name].of(phase)[i]
        return self.space.phase_choice(**values)

    def _head(self, resolution: int, source: int, width: int) -> Unit:
        size = self._size_before(len(self.space.phases), resolution)
        return head_unit(self.space, 1, self.space.phases[-1].widths[source], size, self.space.head.widths[width])

    def _add_region(self, i: int) -> tuple[_Kind, _Kind]:
        """Splitting modules behind the stem (-1) or within phase i: `reduce` and `fuse`.

        `behind` is whether the stride has been passed. Outside a split nothing is linked (dtype `unlinked`).
        """
        space = self.space
        widths = space.stem.widths if i == -1 else space.phases[i].widths
        shape = (len(self._resolutions), 2, len(widths), len(space.link.reduce_ratios), len(self._dtypes))

        def parts(resolution: int, behind: int, width: int, ratio: int, dtype: int) -> tuple[int, int, int, str, bool]:
            size = self._size_before(max(i, 0) + behind, resolution)
            channels = space.link_channels(widths[width], space.link.reduce_ratios[ratio])
            linked = dtype < len(space.link.dtypes)
            return widths[width], channels, size, self._dtypes[dtype] if linked else "float32", linked

        def reduce(*index: int) -> Unit:
            width, channels, size, dtype, linked = parts(*index)
            return Reduce(1 if linked else space.views, width, channels, size, dtype, linked)

        def fuse(*index: int) -> Unit:
            width, channels, size, dtype, linked = parts(*index[:-1])
            return fuse_unit(space, channels, width, size, dtype, linked, space.fusions[index[-1]])

        return self._add(shape, reduce), self._add((*shape, len(space.fusions)), fuse)

    # --- which of them an architecture is made of ---

    def rows(self, genes: IntArray) -> UnitRows:
        """Units of gene vectors within bounds, shape (n, genes)."""
        space = self.space
        columns = _Columns(len(genes), views=space.views)
        gene = self.encoding.columns(genes)
        resolution, stem = gene["resolution"], gene["stem_width"]
        phases = [self._phase_values(gene, i) for i in range(len(space.phases))]
        units = 2 + sum((phase.depth for phase in phases), start=np.zeros(len(genes), dtype=np.int64))
        split = self._split(gene["split"], units)
        columns.split = split
        columns.ahead = np.where(split == 0, np.minimum(gene["fuse"] + 1, units - 1), 0) if space.views > 1 else None
        boundary = split if columns.ahead is None else np.where(split == 0, columns.ahead, split)

        at = np.ones(len(genes), dtype=np.int64)
        columns.add(0, 1, lambda batch: self._stems.ids(batch, resolution, stem))
        source = stem
        modules = [(boundary == 1, (np.zeros_like(at), stem))]
        for i, (phase, kinds) in enumerate(zip(phases, self._phases, strict=True)):
            self._phase_columns(columns, i, phase, kinds, at, resolution, source)
            behind = boundary > at + phase.before
            at = at + phase.depth
            modules.append(((boundary > at - phase.depth) & (boundary <= at), (behind.astype(np.int64), phase.width)))
            source = phase.width
        columns.add(units - 1, 1, lambda _: self._heads.ids(resolution, source, gene["head_width"]), batched=False)
        link = self._module_columns(columns, modules, units, gene)
        if self._scores is not None:
            ids = np.full(len(genes), self._scores.offset)
            columns.put(ids, np.zeros_like(at), (split == units).astype(np.int64))
        return columns.rows(units, link)

    def _split(self, position: IntArray, units: IntArray) -> IntArray:
        """As `Encoding.decode` reads the position: the nearest boundary that the placements allow."""
        end = np.int64(self.space.max_units)
        best = np.full_like(position, -1)
        distance = np.full_like(position, np.iinfo(np.int64).max)
        for placement in self.space.placements:
            spot = {"aggregator": 0 * position, "sensor": 0 * position + end}.get(placement)
            spot = np.clip(position, 1, units - 1) if spot is None else spot
            nearer = np.abs(spot - position) < distance
            best = np.where(nearer, spot, best)
            distance = np.where(nearer, np.abs(spot - position), distance)
        return np.where(best == end, units, best)

    def _phase_values(self, gene: Mapping[str, IntArray], i: int) -> "_PhaseValues":
        phase = self.space.phases[i]
        own = tuple(gene[phase_gene(i, name)] for name in self._block_genes)
        before, after = (gene[phase_gene(i, name)] for name in DEPTH_GENES)
        return _PhaseValues(
            gene[phase_gene(i, "width")], own, np.array(phase.before)[before], np.array(phase.after)[after]
        )

    def _phase_columns(
        self, columns: "_Columns", i: int, phase: "_PhaseValues", kinds: tuple[_Kind, _Kind], at: IntArray,
        resolution: IntArray, source: IntArray,
    ) -> None:  # fmt: skip
        space = self.space.phases[i]
        own = phase.own
        entering, behind = kinds
        inner = len(self._widths_before(i))
        zero = np.int64(0)
        if max(space.before) > 0:
            some = np.minimum(phase.before, 1)
            columns.add(at, some, lambda batch: entering.ids(batch, resolution, zero, source, *own))
            from_inside: IntArray = np.where(phase.before > 0, inner, source)
        else:
            from_inside = source
        if max(space.before) > 1:
            more = np.maximum(phase.before - 1, 0)
            columns.add(at + 1, more, lambda batch: entering.ids(batch, resolution, zero, np.int64(inner), *own))
        columns.add(at + phase.before, 1, lambda batch: entering.ids(batch, resolution, np.int64(1), from_inside, *own))
        if max(space.after) > 0:
            columns.add(at + phase.before + 1, phase.after, lambda batch: behind.ids(batch, resolution, *own))

    def _module_columns(
        self, columns: "_Columns", modules: Sequence[tuple[NDArray[np.bool_], tuple[IntArray, IntArray]]],
        units: IntArray, gene: Mapping[str, IntArray],
    ) -> IntArray:  # fmt: skip
        """Add `reduce` and `fuse`; returns the number of the `Reduce` that sends, or -1."""
        split, dtype = columns.split, gene["link_dtype"]
        linked = (split > 0) & (split < units)
        if self.space.views > 1:
            dtype = np.where(linked, dtype, len(self.space.link.dtypes))
        reduce_ids, fuse_ids = np.full_like(split, -1), np.full_like(split, -1)
        for (here, (behind, width)), (reduce, fuse) in zip(modules, self._regions, strict=True):
            index = (gene["resolution"], behind, width, gene["reduce_ratio"], dtype)
            reduce_ids = np.where(here, reduce.ids(*index), reduce_ids)
            fuse_ids = np.where(here, fuse.ids(*index, gene["fusion"]), fuse_ids)
        present = (reduce_ids >= 0).astype(np.int64)
        reduce_ids, fuse_ids = np.maximum(reduce_ids, 0), np.maximum(fuse_ids, 0)
        on_sensor = linked.astype(np.int64)
        columns.put(reduce_ids, on_sensor, present - on_sensor)
        columns.put(fuse_ids, np.zeros_like(split), present)
        return np.where(linked, reduce_ids, -1)


@dataclass(frozen=True)
class _PhaseValues:
    """Indices of a phase's choices that shape its blocks, and how many blocks there are, each of shape (n,)."""

    width: IntArray
    own: tuple[IntArray, ...]
    before: IntArray
    after: IntArray

    @property
    def depth(self) -> IntArray:
        return self.before + 1 + self.after


class _Columns:
    """Collects columns; knows where each architecture is cut and, for several views, where they are joined."""

    def __init__(self, n: int, views: int) -> None:
        self.n, self.views = n, views
        self.split: IntArray = np.zeros(n, dtype=np.int64)
        self.ahead: IntArray | None = None
        """Units that carry every view as their batch (all on the aggregator, several views); None for one view."""
        self._ids: list[IntArray] = []
        self._sensor: list[Counts] = []
        self._aggregator: list[Counts] = []

    def put(self, ids: IntArray, sensor: Counts, aggregator: Counts) -> None:
        self._ids.append(ids)
        self._sensor.append(sensor)
        self._aggregator.append(aggregator)

    def add(
        self, start: IntArray | int, count: IntArray | int, ids: Callable[[np.int64], IntArray], batched: bool = True
    ) -> None:
        """`count` equal units from position `start` of the chain; `ids` gives their numbers for a batch index."""
        sensor = np.minimum(np.maximum(self.split - start, 0), count)
        aggregator = count - sensor
        if self.ahead is not None and batched:
            joined = np.minimum(np.maximum(self.ahead - start, 0), count)
            aggregator = aggregator - joined
            self.put(ids(np.int64(1)), np.zeros_like(sensor), joined)
        self.put(ids(np.int64(0)), sensor, aggregator)

    def rows(self, units: IntArray, link: IntArray) -> UnitRows:
        ids, sensor, aggregator = (np.stack(parts, axis=1) for parts in (self._ids, self._sensor, self._aggregator))
        return UnitRows(ids, sensor, aggregator, self.split, self.split == units, link)
