"""Fill the table from a search space: time kernels where they stand, in sub-networks chosen to teach the most.

A kernel timed alone meets other caches than in a network, so here whole sub-networks are compiled and each of their
kernels is timed in place. `choosing` says which, `pipeline` compiles ahead and measures, here results are committed:
every network is one transaction. Stopped and started again, building goes on where it was. The whole graphs' times say
what dispatch costs.
"""

import shutil
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from splitkit.devices import BoardPool, Device, get_device
from splitkit.exporters.protocol import Artifact
from splitkit.latency.agreement import Agreement
from splitkit.latency.builder import BuildProgress, BuildReport, Progress
from splitkit.latency.choosing import Chooser
from splitkit.latency.jobs import Compiled, CompileJob, Measured, MeasureJob, Ranked, RankJob
from splitkit.latency.kernel_times import ModelledDevice, conditions_of
from splitkit.latency.lowering import Lowering
from splitkit.latency.measurement import SideMeasurement
from splitkit.latency.pipeline import Pipeline
from splitkit.latency.session import kernel_exporter
from splitkit.latency.store import Conditions, GraphTime, KernelTime, LutStore
from splitkit.profiles.schema import Side, System
from splitkit.space import Architecture, SearchSpace, describe

ENOUGH = 0.98
"""Share of the weight of all units drawn at which a table counts as complete."""

UNITS_PER_NETWORK = 24
"""Units lowered along with every network that is compiled, the heaviest first, until all are."""

RANKED_FROM, RANKED_AGAIN = 50, 1.3
"""Candidates are ranked anew when there are so many rows, and so many times as many as the last time."""

MOST_NETWORKS = 2000
"""Further than this nobody looks ahead to say how long building will take."""


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
    table serves both and graphs of both sides are measured. Where the device stands for several boards, all are used.
    Counts in the report are kernels, in the progress units.

    Args:
        budget_s: start no measurement later than this, but for the very first.
        networks: measure at most this many.
        coverage: stop when units of this share of the weight are covered.
        exclude: never measure these (held out to judge the table).

    Raises:
        DeviceError: the exporter cannot time kernels in place; the device fails; no board is left.
    """
    start = time.monotonic()
    profile = system.device(side).unscaled()
    device = get_device(profile)
    if isinstance(device, ModelledDevice):
        return BuildReport(0, 0, 0, 0, 0.0)
    kernel_exporter(profile.exporter)
    condition = conditions_of(device, profile.exporter)
    sides = _sides_alike(system, side, condition)
    with TemporaryDirectory(prefix="splitkit-") as workdir:
        chooser = Chooser.draw(space, sides, exclude, seed)
        building = _Building(store, space, sides, device, condition, chooser, Path(workdir), coverage, networks)
        building.progress, building.start, building.budget_s = progress, start, budget_s
        reused = len(building.base)
        pipeline = Pipeline(device, device.target(), building)
        try:
            pipeline.run(float("inf") if budget_s is None else start + budget_s)
        finally:
            if isinstance(device, BoardPool):
                device.close()
    known, wanted = chooser.progress()
    return BuildReport(
        measured=len(store.times(building.condition)) - reused,
        reused=reused,
        missing=wanted - known,
        flagged=building.flagged,
        seconds=time.monotonic() - start,
        networks=building.networks_measured,
        coverage=chooser.covered,
        boards=dict(building.boards),
        trouble=pipeline.trouble,
        left_out=pipeline.left_out,
    )


def _sides_alike(system: System, asked: Side, condition: Conditions) -> tuple[Side, ...]:
    """Sides that measure under one set of conditions. A pool of boards is asked for no more than its own."""
    alike: list[Side] = []
    sides: tuple[Side, Side] = ("sensor", "aggregator")
    own = system.device(asked).unscaled()
    for side in sides:
        profile = system.device(side).unscaled()
        same = profile.model_copy(update={"name": own.name}) == own
        if same or (profile.kind == own.kind and conditions_of(get_device(profile), profile.exporter) == condition):
            alike.append(side)
    return tuple(alike)


@dataclass(frozen=True)
class _Record:
    """What one board said of one network."""

    board: str
    network: str
    times: list[KernelTime]
    graphs: list[GraphTime]


@dataclass
class _Building:
    """The pipeline's customer: one session of building one table."""

    store: LutStore
    space: SearchSpace
    sides: tuple[Side, ...]
    device: Device
    conditions: Conditions
    chooser: Chooser
    workdir: Path
    coverage: float
    limit: int | None
    progress: Progress = field(default=lambda _: None)
    start: float = 0.0
    budget_s: float | None = None
    flagged: int = 0
    chosen: int = 0
    networks_measured: int = 0
    boards: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        profile = self.device.profile
        self.condition = self.store.condition(self.conditions)
        self.base = self.store.times(self.condition)
        self.lowering = Lowering(self.store, profile.exporter, self.device.target())
        self.chooser.lowered(self.lowering.recall(self.chooser.heaviest_unlowered(len(self.chooser.table))))
        self.chooser.measured(self.base)
        self._architectures: dict[str, Architecture] = {}
        self._given_up: set[str] = set()
        self._sessions: dict[str, int] = {}
        self._records: list[_Record] = []
        self._anchor: Artifact | None = None
        known = self.store.anchors(self.condition)
        self._anchor_kernel = self.store.kernels(profile.exporter, [known[0]])[known[0]] if known else None
        self._history = known[1] if known else []
        self._drifts = self.device.unit == "us"
        self._asked_for_anchor = not self._drifts
        self._ranked_rows = 0
        agreement = self.device.agreement if isinstance(self.device, BoardPool) else None
        table = {key: row.value for key, row in self.base.items()}
        self._agreement = None if agreement is None else Agreement(agreement, table)

    # --- what the pipeline asks ---

    def next_job(self) -> CompileJob | RankJob | None:
        """The most useful network next, along with units to lower; the first one also brings the anchor."""
        if self._asked_for_anchor and self._drifts and self._anchor is None:
            return None  # nothing can be measured before there is one
        if self.chosen == self.limit or self.chooser.covered >= self.coverage:
            return None
        rows = self.store.times(self.condition)
        if len(rows) > max(RANKED_FROM, RANKED_AGAIN * self._ranked_rows):
            self._ranked_rows = len(rows)
            return RankJob(self.chooser.all_kernels(), {key: row.value for key, row in rows.items()})
        architecture = self.chooser.next()
        if architecture is None:
            return None
        digest = architecture.digest()
        network = describe(self.space, architecture)
        graphs = {f"{digest} {side}": tuple(network.operators(side)) for side in self.sides}
        units = dict.fromkeys(self.chooser.units(architecture) + self.chooser.heaviest_unlowered(UNITS_PER_NETWORK))
        first, self._asked_for_anchor = not self._asked_for_anchor, True
        self._architectures[digest] = architecture
        self.chosen += 1
        return CompileJob(
            digest,
            {name: operators for name, operators in graphs.items() if operators},
            self.workdir / str(self.chosen),  # a path loaded once is not loaded anew
            tuple(units),
            self._anchor_kernel if first else None,
            choose_anchor=first and self._anchor_kernel is None,
        )

    def compiled(self, job: CompileJob, compiled: Compiled) -> None:
        """Keep what was lowered."""
        self.lowering.learn(compiled.lowered)
        self.chooser.lowered(compiled.lowered)
        self.chooser.measured(self.store.times(self.condition))
        if compiled.anchor is not None:
            self._anchor = compiled.anchor
            self.store.add_kernels(self.device.profile.exporter, compiled.anchor.kernels)

    def measure_job(self, job: CompileJob, compiled: Compiled) -> MeasureJob:
        """With what the anchor took so far."""
        return MeasureJob(job.network, compiled.artifacts, self._anchor, tuple(self._history))

    def ranked(self, ranked: Ranked) -> None:
        """Take in what the regression knows and does not know."""
        self.chooser.rank(ranked.known, ranked.estimates)

    def measured(self, job: CompileJob, measured: Measured, boards: int) -> dict[str, str]:
        """Commit one network's kernels and graphs; returns boards that disagree with the others."""
        times, graphs = [], []
        for digest, (timed, drift) in measured.graphs.items():
            rows = _rows(timed, drift)
            times += rows
            graphs.append(
                GraphTime(digest, len(rows), timed.kernel_sum_us, timed.graph_us, timed.graph_variance_us2)
            )  # fmt: skip
        with self.store.transaction():
            session = self._session(measured.board)
            exporter = self.device.profile.exporter
            self.store.add_kernels(exporter, (k for timed, _ in measured.graphs.values() for k in timed.kernels))
            self._add(session, times, graphs)
            if self._anchor is not None:
                for value in measured.anchor_times:
                    self.store.add_anchor(session, self._anchor.kernels[0].key, value)
        self._history += measured.anchor_times
        self.flagged += measured.flagged
        self.networks_measured += 1
        self.boards[measured.board] += 1
        shutil.rmtree(job.directory / "0", ignore_errors=True)
        shutil.rmtree(job.directory / "1", ignore_errors=True)
        liars = self._judge(_Record(measured.board, job.network, times, graphs), measured.anchor_times, boards)
        self.chooser.measured(self.store.times(self.condition))
        self._report()
        return liars

    def given_up(self, job: CompileJob) -> None:
        """Others may be chosen for its units."""
        self.chooser.given_up(self._architectures[job.network])

    # --- boards ---

    def _judge(self, record: "_Record", anchor_times: tuple[float, ...], boards: int) -> dict[str, str]:
        if self._agreement is None:
            return {}
        self._records.append(record)
        seen = {row.kernel: row.value for row in record.times}
        if self._anchor is not None and anchor_times:
            seen[f"{self._anchor.kernels[0].key} anchor"] = min(anchor_times)
        self._agreement.add(record.board, seen)
        wrong = self._agreement.disagreeing(boards)
        for board in wrong:
            self._agreement.remove(board)
            self._drop(board)
        tolerance = f"{self._agreement.tolerance:.0%}"
        return {
            board: f"times kernels {factor:.2f} times as long as the others, tolerance {tolerance}"
            for board, factor in wrong.items()
        }

    def _drop(self, board: str) -> None:
        """Take out every row that a board had a part in, and put back what the others say of it."""
        bad = [record for record in self._records if record.board == board]
        self._records = [record for record in self._records if record.board != board]
        kernels = {row.kernel for record in bad for row in record.times}
        with self.store.transaction():
            self.store.forget(self.condition, kernels, [graph.digest for record in bad for graph in record.graphs])
            self.store.forget_anchors(self._session(board))
            old = [self.base[key] for key in kernels if key in self.base]
            if old:
                self.store.replace_times(self.condition, self._session("before"), old)
            for record in self._records:
                times = [row for row in record.times if row.kernel in kernels]
                self._add(self._session(record.board), times, record.graphs)
        for record in bad:  # to be measured again
            self.chooser.given_up(self._architectures[record.network])
        self.chosen -= len(bad)
        self.networks_measured -= len(bad)
        self.boards.pop(board, None)
        known = self.store.anchors(self.condition)
        self._history = known[1] if known else []

    def _session(self, board: str) -> int:
        """Every board's rows are a session of their own."""
        if board not in self._sessions:
            self._sessions[board] = self.store.start_session(self.condition)
        return self._sessions[board]

    def _add(self, session: int, times: list[KernelTime], graphs: list[GraphTime]) -> None:
        self.store.add_times(self.condition, session, times)
        for graph in graphs:
            self.store.add_graph(self.condition, graph)

    # --- the user ---

    def _report(self) -> None:
        seconds = time.monotonic() - self.start
        known, wanted = self.chooser.progress()
        left = self.chooser.networks_to(self.coverage, MOST_NETWORKS)
        if self.limit is not None:
            left = min(left, self.limit - self.chosen)
        under_way = max(self.chosen - self.networks_measured, 0)
        eta_s = (left + under_way) * seconds / max(self.networks_measured, 1)
        if self.budget_s is not None:
            eta_s = min(eta_s, max(self.budget_s - seconds, 0.0))
        self.progress(BuildProgress(known, wanted, seconds, self.networks_measured, self.chooser.covered, eta_s))


def _rows(timed: SideMeasurement, drift: float) -> list[KernelTime]:
    return [
        KernelTime(kernel.key, value, variance, 1, drift)
        for kernel, value, variance in zip(timed.kernels, timed.kernel_us, timed.kernel_variance_us2, strict=True)
    ]
