"""One session of building one table: says what to compile and measure next, keeps what comes out."""

import shutil
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path

from splitkit.bench.choosing import Chooser
from splitkit.bench.jobs import Compiled, CompileJob, Measured, MeasureJob, Ranked, RankJob
from splitkit.bench.progress import BuildProgress, Progress
from splitkit.bench.recording import Recorder
from splitkit.devices import UnscaledDevice
from splitkit.exporters.protocol import Artifact
from splitkit.graphs.graph import RenderedGraph
from splitkit.latency.lowering import Lowering
from splitkit.latency.rows import Conditions
from splitkit.latency.store import LutStore
from splitkit.sides import Side
from splitkit.space import Architecture, SearchSpace, describe

RANKED_FROM, RANKED_AGAIN = 50, 1.3
"""Candidates are ranked anew when there are so many rows, and so many times as many as the last time."""

MOST_NETWORKS = 2000
"""Further than this nobody looks ahead to say how long building will take."""

WATCHED = 6
"""Kernels that every board of a pool is timed by, with every network."""

UNITS_PER_NETWORK = 24
"""Units lowered along with every network that is compiled, the heaviest first, until all are."""


class Building:
    """What the pipeline is told to do (`pipeline.JobSource`).

    Args:
        sides: whose graphs are measured.
        device: that of `conditions`.
        coverage, limit: enough of the weight of all units; the most networks to measure.
        budget_s: only to say how long is left.
    """

    def __init__(
        self,
        store: LutStore,
        space: SearchSpace,
        sides: Sequence[Side],
        device: UnscaledDevice,
        conditions: Conditions,
        chooser: Chooser,
        workdir: Path,
        *,
        coverage: float,
        limit: int | None,
        budget_s: float | None,
        progress: Progress,
    ) -> None:
        self._space, self._sides, self._workdir, self.chooser = space, tuple(sides), workdir, chooser
        self._coverage, self._limit, self._budget_s, self._progress = coverage, limit, budget_s, progress
        self._start = time.monotonic()
        tolerance = device.pool.agreement if device.pool else None
        self.recorder = Recorder(store, conditions, tolerance, device.cache_bytes)
        self._lowering = Lowering(store, conditions.exporter, device.target())
        chooser.lowered(self._lowering.recall(chooser.heaviest_unlowered(len(chooser.table))))
        chooser.measured(self.recorder.known())
        self._architectures: dict[str, Architecture] = {}
        self._directories = count()
        self._lost: set[str] = set()
        self._under_way = 0
        self._ranked_rows = 0
        self._anchor: Artifact | None = None
        self._watched = 0 if device.unit != "us" else WATCHED if device.pool else 1
        self._first = True

    def next_job(self) -> CompileJob | RankJob | None:
        """The most useful network next, along with units to lower; the first one also brings the anchor."""
        if not self._first and self._watched and self._anchor is None:
            return None  # nothing can be measured before there is one
        if self.recorder.networks + self._under_way == self._limit or self.chooser.covered >= self._coverage:
            return None
        rows = self.recorder.known()
        if len(rows) > max(RANKED_FROM, RANKED_AGAIN * self._ranked_rows):
            self._ranked_rows = len(rows)
            return RankJob(self.chooser.all_kernels(), rows)
        architecture = self.chooser.next()
        return None if architecture is None else self._compile(architecture)

    def _compile(self, architecture: Architecture) -> CompileJob:
        digest, network = architecture.digest(), describe(self._space, architecture)
        graphs = {f"{digest} {side}": RenderedGraph(tuple(network.operators(side))) for side in self._sides}
        units = dict.fromkeys(self.chooser.units(architecture) + self.chooser.heaviest_unlowered(UNITS_PER_NETWORK))
        first, self._first = self._first, False
        self._architectures[digest] = architecture
        self._under_way += 1
        return CompileJob(
            digest,
            {name: graph for name, graph in graphs.items() if graph.operators},
            self._workdir / str(next(self._directories)),  # a path loaded once is not loaded anew
            tuple(units),
            watch=self._watched if first else 0,
            anchor=self.recorder.anchor,
        )

    def compiled(self, job: CompileJob, compiled: Compiled) -> None:
        """Keep what was lowered, and the anchor if it came along."""
        self._lowering.learn(compiled.lowered)
        self.chooser.lowered(compiled.lowered)
        self.chooser.measured(self.recorder.known())
        if compiled.anchor is not None:
            self._anchor = compiled.anchor
            self.recorder.watch(compiled.anchor.kernels)

    def measure_job(self, job: CompileJob, compiled: Compiled) -> MeasureJob:
        """With what the anchor's times are relative to."""
        return MeasureJob(job.network, compiled.artifacts, self._anchor, self.recorder.reference)

    def ranked(self, ranked: Ranked) -> None:
        """Take in what the regression knows and does not know."""
        self.chooser.rank(ranked.known, ranked.estimates)

    def measured(self, job: CompileJob, measured: Measured, boards: int) -> dict[str, str]:
        """Commit one network; returns boards that disagree with the others, and why, their rows taken back."""
        self.recorder.add(job.network, measured)
        self._under_way -= 1
        for i in range(len(job.graphs)):
            shutil.rmtree(job.directory / str(i), ignore_errors=True)
        wrong, networks = self.recorder.take_back(boards)
        for network in networks:
            self.chooser.given_up(self._architectures[network])
        self.chooser.measured(self.recorder.known())
        self._report()
        return wrong

    def given_up(self, job: CompileJob) -> None:
        """Others may be chosen for its units."""
        self._under_way -= 1
        self.chooser.given_up(self._architectures[job.network])

    def lost(self, job: CompileJob) -> None:
        """It may have been chance: it is tried once more."""
        again = job.network not in self._lost
        self._lost.add(job.network)
        self._under_way -= 1
        self._first = self._first or self._anchor is None  # the next one has to bring what this one did not
        self.chooser.given_up(self._architectures[job.network], again=again)

    def _report(self) -> None:
        seconds, networks = time.monotonic() - self._start, self.recorder.networks
        left = self.chooser.networks_to(self._coverage, MOST_NETWORKS) + self._under_way
        if self._limit is not None:
            left = min(left, self._limit - networks)
        eta_s = left * seconds / networks if networks else None
        if eta_s is not None and self._budget_s is not None:
            eta_s = min(eta_s, max(self._budget_s - seconds, 0.0))
        known, wanted = self.chooser.progress()
        self._progress(BuildProgress(known, wanted, seconds, networks, self.chooser.covered, eta_s))
