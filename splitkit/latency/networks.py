"""Fill the table from a search space: time kernels where they stand, in sub-networks chosen to cover the space.

A kernel timed alone meets other caches than in a network, so here whole sub-networks are compiled and each of their
kernels is timed in place. Which sub-networks: out of many drawn uniformly, greedily the one whose units not covered yet
weigh most, a unit's weight being how often it was drawn times its estimated cost, so the most useful kernels come
first. The whole graphs' times say what dispatch costs. Every network is one transaction: stopped and started again,
building goes on where it was.
"""

import shutil
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from splitkit.devices import get_device
from splitkit.latency.builder import BuildProgress, BuildReport, Progress
from splitkit.latency.kernel_times import ModelledDevice, conditions_of
from splitkit.latency.lowering import Lowering
from splitkit.latency.measure import compile_for, time_artifact
from splitkit.latency.measurement import SideMeasurement
from splitkit.latency.session import BenchSession
from splitkit.latency.store import Conditions, GraphTime, KernelTime, LutStore
from splitkit.profiles.schema import Side, System
from splitkit.space import Architecture, Sampler, SearchSpace, describe
from splitkit.space.encoding import Encoding
from splitkit.space.unit_table import UnitTable

FloatArray = NDArray[np.float64]

CANDIDATES = 3000
"""Architectures drawn to choose from; also what usefulness is estimated on."""

MACS_PER_BYTE = 8.0
"""Rough price of moving a byte, in multiply-accumulates: only ranks units by cost."""

ENOUGH = 0.98
"""Share of the weight of all units drawn at which a table counts as complete."""


def build_from_space(
    store: LutStore,
    space: SearchSpace,
    system: System,
    side: Side,
    *,
    budget_s: float | None = None,
    networks: int | None = None,
    coverage: float = ENOUGH,
    exclude: Iterable[Architecture] = (),
    seed: int = 0,
    progress: Progress = lambda _: None,
) -> BuildReport:
    """Measure sub-networks of `space` on the device of one side until the table covers it.

    Where both sides' devices measure under the same conditions (the same hardware, whatever their time scales), one
    table serves both and graphs of both sides are measured. Counts in the report and the progress are kernels.

    Args:
        budget_s: stop after the first network that ends later than this.
        networks: measure at most this many.
        coverage: stop when units of this share of the weight are covered.
        exclude: never measure these (held out to judge the table).

    Raises:
        DeviceError: the exporter cannot time kernels in place.
    """
    start = time.monotonic()
    profile = system.device(side)
    device = get_device(profile.unscaled())
    if isinstance(device, ModelledDevice):
        return BuildReport(0, 0, 0, 0, 0.0)
    condition = conditions_of(device, profile.exporter)
    with TemporaryDirectory(prefix="splitkit-") as workdir:
        session = BenchSession(store, device, profile.exporter, condition.cache_mode, Path(workdir))
        lowering = Lowering(store, profile.exporter, device.target())
        cover = _Cover.draw(space, _sides_alike(system, condition), set(exclude), seed)
        reused = len(store.times(session.condition))
        cover.recall(store, condition, lowering)
        measured = 0
        while measured != networks and cover.covered < coverage and (chosen := cover.best()) is not None:
            network = describe(space, chosen)
            for graph_side in cover.sides:
                operators = network.operators(graph_side)
                if operators:
                    directory = Path(workdir) / f"{measured}-{graph_side}"  # a path loaded once is not loaded anew
                    artifact = compile_for(device, profile.exporter, operators, directory)
                    session.watch(artifact.kernels)
                    timed, drift = session.steady(lambda: time_artifact(artifact, device))  # noqa: B023
                    _record(session, f"{chosen.digest()} {graph_side}", timed, drift)
                    shutil.rmtree(directory)
            cover.add(chosen, lowering)
            measured += 1
            seconds = time.monotonic() - start
            progress(BuildProgress(*cover.progress(), seconds))
            if budget_s is not None and seconds > budget_s:
                break
        total = len(store.times(session.condition))
    return BuildReport(total - reused, reused, cover.missing, session.flagged, time.monotonic() - start)


def _sides_alike(system: System, condition: Conditions) -> tuple[Side, ...]:
    """Sides that measure under one set of conditions."""
    alike: list[Side] = []
    sides: tuple[Side, Side] = ("sensor", "aggregator")
    for side in sides:
        profile = system.device(side)
        if conditions_of(get_device(profile.unscaled()), profile.exporter) == condition:
            alike.append(side)
    return tuple(alike)


def _record(session: BenchSession, digest: str, timed: SideMeasurement, drift: float) -> None:
    """Commit one measured graph: its kernels (a repeated one counts once, as the mean of its places) and the whole."""
    times = [
        KernelTime(kernel.key, us, variance, 1, drift)
        for kernel, us, variance in zip(timed.kernels, timed.kernel_us, timed.kernel_variance_us2, strict=True)
    ]
    graph = GraphTime(digest, len(times), timed.kernel_sum_us, timed.graph_us, timed.graph_variance_us2)
    with session.store.transaction():
        session.store.add_kernels(session.exporter.name, timed.kernels)
        session.store.add_times(session.condition, session.number, times)
        session.store.add_graph(session.condition, graph)


@dataclass
class _Cover:
    """Candidates, the weights of their units, and which units are measured.

    Attributes:
        sides: whose units count.
        present: for each candidate the entries of the unit table it runs, -1 where a column is empty, shape (n, c).
        weight: of each entry of the table; entries standing for equal units share the one of the first.
    """

    sides: tuple[Side, ...]
    table: UnitTable
    architectures: Sequence[Architecture]
    present: NDArray[np.int64]
    weight: FloatArray
    done: NDArray[np.bool_]
    left: NDArray[np.bool_]

    @classmethod
    def draw(cls, space: SearchSpace, sides: tuple[Side, ...], exclude: set[Architecture], seed: int) -> "_Cover":
        sampler = Sampler(space, np.random.default_rng(seed))
        drawn = dict.fromkeys(a for _ in range(CANDIDATES) if (a := sampler.uniform()) not in exclude)
        table = UnitTable(space)
        rows = table.rows(Encoding(space).encode_all(drawn))
        counts = sum(((rows.sensor if side == "sensor" else rows.aggregator) for side in sides), start=0 * rows.ids)
        present = np.where(counts > 0, _merge_equal(table, rows.ids, counts), -1)
        used = present >= 0
        times = np.bincount(present[used], weights=counts[used], minlength=len(table))
        cost = np.zeros(len(table))
        for i in np.unique(present[used]):
            cost[i] = _estimated_cost(table, int(i))
        weight = times * cost
        return cls(
            sides, table, list(drawn), present, weight / weight.sum(),
            np.zeros(len(table), dtype=np.bool_), np.ones(len(drawn), dtype=np.bool_),
        )  # fmt: skip

    @property
    def covered(self) -> float:
        """Share of the weight that is measured."""
        return float(self.weight[self.done].sum())

    @property
    def missing(self) -> int:
        """Units drawn but not measured."""
        return int((~self.done & (self.weight > 0)).sum())

    def progress(self) -> tuple[int, int]:
        """Units measured, of how many."""
        wanted = int((self.weight > 0).sum())
        return wanted - self.missing, wanted

    def best(self) -> Architecture | None:
        """The candidate whose uncovered units weigh most per unit to compile; None if none adds anything."""
        used = self.present >= 0
        gain = np.where(used & ~self.done[self.present], self.weight[self.present], 0.0).sum(axis=1)
        gain = np.where(self.left, gain / np.maximum(used.sum(axis=1), 1), 0.0)
        i = int(gain.argmax())
        return self.architectures[i] if gain[i] > 0 else None

    def add(self, architecture: Architecture, lowering: Lowering) -> None:
        """Mark a candidate's units as measured."""
        i = self.architectures.index(architecture)
        self.left[i] = False
        entries = self.present[i][self.present[i] >= 0]
        lowering.kernels(self.table.unit(int(entry)) for entry in entries)
        self.done[entries] = True

    def recall(self, store: LutStore, conditions: Conditions, lowering: Lowering) -> None:
        """Mark the units whose kernels an earlier session measured, every one."""
        known = set(store.times(store.condition(conditions)))
        entries = np.flatnonzero(self.weight > 0)
        units = {int(entry): self.table.unit(int(entry)) for entry in entries}
        lowered = lowering.recall(units.values())
        for entry, unit in units.items():
            self.done[entry] = unit in lowered and {kernel.key for kernel in lowered[unit]} <= known


def _merge_equal(table: UnitTable, ids: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Entries replaced by the first one that stands for an equal unit."""
    first: dict[object, int] = {}
    canonical = np.arange(len(table))
    for i in np.unique(ids[counts > 0]):
        canonical[i] = first.setdefault(table.unit(int(i)), int(i))
    return canonical[ids]


def _estimated_cost(table: UnitTable, entry: int) -> float:
    unit = table.unit(entry)
    operators = unit.operators(unit.input_tensors(), "unit")
    return sum(op.macs + MACS_PER_BYTE * (op.output.bytes + 4 * op.weight_elements) for op in operators)
