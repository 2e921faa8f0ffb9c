"""Latency of a population of architectures on a system, without a compiler: sums over a table of units.

Each unit that occurs is lowered once (from the store, if it knows it), its kernels' times are added up, and from then
on an architecture is a few gathers and sums in numpy.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from numpy.typing import NDArray

from splitkit.compiler.kernel import Kernel
from splitkit.latency.corrections import Corrections
from splitkit.latency.graph_predictor import FloatArray, GraphPredictor, between
from splitkit.latency.hop import Hop
from splitkit.latency.lowering import Progress
from splitkit.latency.residency import IN_SITU, STATES, state_of
from splitkit.latency.store import LutStore
from splitkit.profiles.schema import System
from splitkit.sides import SIDES, Side
from splitkit.space import Architecture, SearchSpace
from splitkit.space.encoding import Encoding, IntArray
from splitkit.space.operators import peak_activation_bytes
from splitkit.space.tensor import TensorSpec
from splitkit.space.unit_table import UnitRows, UnitTable

CHUNK = 4096
"""Architectures worked on at once: their intermediate columns stay in cache."""


@dataclass(frozen=True)
class Prediction:
    """Predictions of n architectures, every array of shape (n,).

    Attributes:
        sensor_us: one sensor's time (they run in parallel), `link_us` until the last view has arrived,
            `aggregator_us` from then on; `total_us` is their sum. On a system that runs here the last two hold what
            its processes add, if that was measured (`hop`).
        payload_bytes: what one sensor sends per frame.
        sensor_peak_bytes: lower bound on one sensor's working memory.
        sensor_macs, aggregator_macs: multiply-accumulates of one frame.
        measured_fraction: share of the predicted kernel time that rests on measured kernels (or an analytical
            device's own model) rather than on the regression; 1 where nothing is computed.
    """

    sensor_us: FloatArray
    link_us: FloatArray
    aggregator_us: FloatArray
    total_us: FloatArray
    payload_bytes: FloatArray
    sensor_peak_bytes: FloatArray
    sensor_macs: FloatArray
    aggregator_macs: FloatArray
    measured_fraction: FloatArray

    def __len__(self) -> int:
        return len(self.total_us)

    def __getitem__(self, index: int | slice | NDArray[np.generic]) -> "Prediction":
        """The same of some architectures; an integer keeps arrays, of shape (1,)."""
        where = slice(index, index + 1 or None) if isinstance(index, int) else index
        return Prediction(**{f.name: getattr(self, f.name)[where] for f in fields(self)})

    @classmethod
    def concatenate(cls, parts: Sequence["Prediction"]) -> Self:
        """Predictions of one population after another."""
        return cls(**{f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(cls)})


class SystemPredictor:
    """Predicts for one space on one system from one store.

    Times are read from the store when it is made; later measurements need a new predictor.

    Args:
        corrections: what measured candidates taught, see `Corrections.fit`.
        allow_missing: estimate kernels that were not measured; otherwise `predict` raises where one is met.

    Raises:
        DeviceError: from `predict`, where kernels are missing and cannot or must not be estimated.
    """

    def __init__(
        self,
        space: SearchSpace,
        system: System,
        store: LutStore,
        *,
        corrections: Corrections | None = None,
        allow_missing: bool = True,
        progress: Progress | None = None,
    ) -> None:
        self.space, self.system = space, system
        self.corrections = corrections or Corrections()
        self.encoding = Encoding(space)
        self._table = UnitTable(space)
        self._units = _UnitValues(self._table)
        self.hop = Hop.of(store, system, space.views)
        sides = {side: GraphPredictor(system.device(side), store, allow_missing=allow_missing) for side in SIDES}
        self._sources = sides
        self._sides = {side: _SideValues(sides[side], self._table, self.corrections, side, progress) for side in SIDES}

    def with_corrections(self, corrections: Corrections) -> "SystemPredictor":
        """The same predictor with other corrections; nothing is read or lowered again."""
        other = object.__new__(SystemPredictor)
        other.__dict__.update(self.__dict__)
        other.corrections = corrections
        other._sides = {s: _SideValues(self._sources[s], self._table, corrections, s, None) for s in SIDES}
        return other

    def predict(self, genes: IntArray) -> Prediction:
        """Predictions for gene vectors, shape (n, genes), read as `Encoding.decode` reads them.

        Raises:
            DeviceError: kernels are missing and cannot or must not be estimated.
        """
        parts = [self._predict(genes[i : i + CHUNK]) for i in range(0, len(genes), CHUNK)]
        return Prediction.concatenate(parts) if parts else self._predict(genes)

    def predict_one(self, architecture: Architecture) -> Prediction:
        """The prediction for one canonical architecture, arrays of shape (1,)."""
        return self.predict(self.encoding.encode(architecture)[None])

    def kernel_us(self, side: Side, kernels: Sequence[Kernel]) -> FloatArray:
        """Times of a whole graph's kernels as the table (or the regression) has them, without corrections."""
        return self._sources[side].in_network_us(kernels)

    def graph_overhead_us(self, side: Side, kernels: int) -> float:
        """Cost of a graph of so many kernels beyond the kernels, without corrections."""
        return self._sources[side].overhead_us(kernels)

    def coverage(self, side: Side) -> tuple[int, int]:
        """Of the kernels met so far on one side: how many are known, and how many there are."""
        return self._sources[side].coverage()

    def _predict(self, genes: IntArray) -> Prediction:
        rows = self._table.rows(genes)
        self._units.fill(rows)
        sensor, aggregator = (self._sides[side].total(rows, getattr(rows, side)) for side in SIDES)
        payload = self._payload(rows)
        link_us, aggregator_us = self.hop.link_us(payload), aggregator.total_us + self.hop.aggregator_us
        image = self._image.bytes
        peak = (self._units.peak_bytes[rows.ids] * (rows.sensor > 0)).max(axis=1)
        macs = self._units.macs[rows.ids]
        known, kernels = sensor.known_us + aggregator.known_us, sensor.kernels_us + aggregator.kernels_us
        return Prediction(
            sensor_us=sensor.total_us,
            link_us=link_us,
            aggregator_us=aggregator_us,
            total_us=sensor.total_us + link_us + aggregator_us,
            payload_bytes=payload,
            sensor_peak_bytes=np.where(rows.split == 0, image, peak).astype(np.float64),
            sensor_macs=np.einsum("nc,nc->n", macs, rows.sensor),
            aggregator_macs=np.einsum("nc,nc->n", macs, rows.aggregator),
            measured_fraction=np.divide(known, kernels, out=np.ones_like(known), where=kernels > 0),
        )

    @property
    def _image(self) -> TensorSpec:
        shape = (1, self.space.input.channels, self.space.input.size, self.space.input.size)
        return TensorSpec("image", shape, "uint8")

    def _payload(self, rows: UnitRows) -> FloatArray:
        """Bytes one sensor sends: the image, its scores, or the reduced features."""
        scores = TensorSpec("scores", (1, self.space.head.classes)).bytes
        sent = self._units.output_bytes[np.maximum(rows.link, 0)]
        return np.where(rows.split == 0, self._image.bytes, np.where(rows.on_sensor, scores, sent)).astype(np.float64)


class _Filled:
    """Remembers which entries of a unit table have been worked out."""

    def __init__(self, table: UnitTable) -> None:
        self.table = table
        self._known = np.zeros(len(table), dtype=np.bool_)

    def ensure(self, ids: IntArray, used: Callable[[], NDArray[np.bool_]], fill: Callable[[IntArray], None]) -> None:
        """Call `fill` with the entries of `ids` that are used and not known yet."""
        known = self._known[ids]
        if known.all():
            return
        missing = np.unique(ids[used() & ~known])
        if len(missing):
            fill(missing)
            self._known[missing] = True


class _UnitValues:
    """What a unit is on any hardware, one entry per unit of the table."""

    def __init__(self, table: UnitTable) -> None:
        self._filled = _Filled(table)
        self._table = table
        self.macs = np.zeros(len(table))
        self.peak_bytes = np.zeros(len(table), dtype=np.int64)
        self.output_bytes = np.zeros(len(table), dtype=np.int64)

    def fill(self, rows: UnitRows) -> None:
        """Work out the units that occur in `rows`."""
        self._filled.ensure(rows.ids, lambda: (rows.sensor + rows.aggregator) > 0, self._fill)

    def _fill(self, missing: IntArray) -> None:
        for i in missing:
            unit = self._table.unit(int(i))
            operators = unit.operators(unit.input_tensors(), "unit")
            output = operators[-1].output
            self.macs[i] = sum(op.macs for op in operators)
            self.peak_bytes[i] = peak_activation_bytes(operators, keep={output.name})
            self.output_bytes[i] = output.bytes


@dataclass(frozen=True)
class _SideTotal:
    """Sums over one side, shape (n,) each: the graph's time; its kernels' in situ, and the known part of that."""

    total_us: FloatArray
    kernels_us: FloatArray
    known_us: FloatArray


class _SideValues:
    """Corrected time of every unit on one side."""

    def __init__(
        self, source: GraphPredictor, table: UnitTable, corrections: Corrections, side: Side, progress: Progress | None
    ) -> None:
        self._source, self._table, self._progress = source, table, progress
        self._correction = corrections.side(side)
        self._filled = _Filled(table)
        self._us = np.zeros((len(STATES), len(table)))
        self._known_us = np.zeros(len(table))
        self._overhead_us = np.zeros(len(table))
        self._weight_bytes = np.zeros(len(table))
        self._moved_bytes = np.zeros(len(table))  # the most that one of its kernels reads and writes

    def total(self, rows: UnitRows, counts: NDArray[np.int64]) -> _SideTotal:
        self._filled.ensure(rows.ids, lambda: counts > 0, self._fill)
        known, overhead = (
            np.einsum("nc,nc->n", values[rows.ids], counts) for values in (self._known_us, self._overhead_us)
        )
        kernels, in_situ = self._kernels(rows.ids, counts)
        total = (kernels + overhead + self._source.per_graph_us) * self._correction.residual_factor
        return _SideTotal(np.where(kernels > 0, np.maximum(total, 0.0), 0.0), in_situ, known)

    def _kernels(self, ids: IntArray, counts: NDArray[np.int64]) -> tuple[FloatArray, FloatArray]:
        """Sums of the kernels' times in the networks' own states, and in situ, shape (n,) each."""
        if not self._source.cache_bytes:
            in_situ: FloatArray = np.einsum("nc,nc->n", self._us[IN_SITU][ids], counts)
            return in_situ, in_situ
        weights = np.einsum("nc,nc->n", self._weight_bytes[ids], counts)
        moved = (self._moved_bytes[ids] * (counts > 0)).max(axis=1)
        nearer, share = between(state_of(weights + moved, self._source.cache_bytes))
        each = np.stack([np.einsum("nc,nc->n", us[ids], counts) for us in self._us])
        n = np.arange(len(ids))
        return (1 - share) * each[nearer, n] + share * each[nearer + 1, n], each[IN_SITU]

    def _fill(self, missing: IntArray) -> None:
        units = {int(i): self._table.unit(int(i)) for i in missing}
        lowered = self._source.lowering.kernels(units.values(), self._progress)
        self._source.learn([kernel for kernels in lowered.values() for kernel in kernels])
        for i, unit in units.items():
            kernels = lowered[unit]
            factors = self._correction.factors(kernels)
            us = self._source.state_us(kernels) * factors
            self._us[:, i] = us.sum(axis=1)
            self._weight_bytes[i] = sum(kernel.weight_bytes for kernel in kernels)
            self._moved_bytes[i] = max((kernel.read_bytes + kernel.write_bytes for kernel in kernels), default=0)
            self._known_us[i] = us[IN_SITU, self._source.known(kernels)].sum()
            self._overhead_us[i] = self._source.per_kernel_us * len(kernels)
