"""What the processes of a building session do: compile a network, rank what to measure, measure on a board."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from splitkit.bench.anchor import Anchor, choose_sample
from splitkit.bench.measure import time_artifact
from splitkit.bench.session import kernel_exporter
from splitkit.bench.worker import Say
from splitkit.compiler.kernel import Kernel
from splitkit.compiler.target import CompileTarget
from splitkit.devices import get_device
from splitkit.exporters.protocol import Artifact
from splitkit.graphs.graph import Graph
from splitkit.latency.lowering import lower_unit
from splitkit.latency.measurement import GraphTiming
from splitkit.latency.regression import KernelRegression
from splitkit.profiles.schema import UnscaledProfile
from splitkit.space.units import Unit


@dataclass(frozen=True)
class CompileJob:
    """A network's graphs, by digest, into directories below `directory`.

    Attributes:
        units: to be lowered as well.
        watch: also build a library of so many kernels to watch the boards by: `anchor` (or one of the network's
            kernels), then others of the network's.
    """

    network: str
    graphs: Mapping[str, Graph]
    directory: Path
    units: tuple[Unit, ...] = ()
    watch: int = 0
    anchor: Kernel | None = None


@dataclass(frozen=True)
class Compiled:
    """What became of a `CompileJob`."""

    artifacts: Mapping[str, Artifact]
    lowered: Mapping[Unit, tuple[Kernel, ...]]
    anchor: Artifact | None


@dataclass(frozen=True)
class RankJob:
    """Estimate kernels from measured ones, whose rows are `known`."""

    kernels: tuple[Kernel, ...]
    known: Mapping[str, float]


@dataclass(frozen=True)
class Ranked:
    """For each kernel that was not known, by key, an estimate and its standard deviation (of the log)."""

    known: Mapping[str, float]
    estimates: Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class MeasureJob:
    """Compiled graphs to be timed under the eyes of the anchor, on any board but those to avoid."""

    network: str
    artifacts: Mapping[str, Artifact]
    anchor: Artifact | None
    anchor_reference: float | None
    avoid: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Leased:
    """Said once a board is at work."""

    board: str


@dataclass(frozen=True)
class Measured:
    """By digest what was measured, and how far the anchor had drifted; by key the times of the kernels watched.

    What one machine measured is stated at its anchor's clock, what boards of a pool did as they took it.
    """

    board: str
    graphs: Mapping[str, tuple[GraphTiming, float]]
    anchor_times: Mapping[str, Sequence[float]]
    flagged: int


class Compiler:
    """Compiles and ranks for one exporter and target, in a worker process."""

    def __init__(self, exporter: str, target: CompileTarget) -> None:
        self.exporter, self.target = kernel_exporter(exporter), target

    def __call__(self, job: CompileJob | RankJob, say: Say) -> Compiled | Ranked:
        """Do the job."""
        return self._rank(job) if isinstance(job, RankJob) else self.compile(job)

    def compile(self, job: CompileJob) -> Compiled:
        """All of its graphs, and the library that it asks for."""
        artifacts = {
            digest: self.exporter.compile(graph.model(), self.target, job.directory / str(i))
            for i, (digest, graph) in enumerate(job.graphs.items())
        }
        anchor = None
        if job.watch:
            sample = choose_sample([k for artifact in artifacts.values() for k in artifact.kernels], job.watch)
            watched = dict.fromkeys([*([job.anchor] if job.anchor else []), *sample])
            anchor = self.exporter.build_kernels(list(watched)[: job.watch], self.target, job.directory / "anchor")
        lowered = {unit: lower_unit(self.exporter, self.target, unit) for unit in job.units}
        return Compiled(artifacts, lowered, anchor)

    def _rank(self, job: RankJob) -> Ranked:
        measured = [kernel for kernel in job.kernels if kernel.key in job.known]
        others = [kernel for kernel in job.kernels if kernel.key not in job.known]
        regression = KernelRegression(measured, np.array([job.known[kernel.key] for kernel in measured]))
        estimate = regression.predict(others)
        pairs = zip(others, estimate.times.tolist(), estimate.sigma_log.tolist(), strict=True)
        return Ranked(job.known, {kernel.key: (time, sigma) for kernel, time, sigma in pairs})


class Bench:
    """Measures on the device of one profile, in a worker process."""

    def __init__(self, profile: UnscaledProfile) -> None:
        self.device = get_device(profile)

    def __call__(self, job: MeasureJob, say: Say) -> Measured:
        """Do the job; a board is held for no longer than that."""
        device, pool = self.device, self.device.pool
        board = pool.lease(job.avoid) if pool else device.profile.name
        try:
            say(Leased(board))
            anchor = Anchor(device, job.anchor, job.anchor_reference)
            graphs = {}
            for digest, artifact in job.artifacts.items():
                timed, drift = anchor.steady(lambda: time_artifact(artifact, device))  # noqa: B023
                # Boards of a pool each have a clock of their own, and are compared by what they really took.
                graphs[digest] = (timed if pool else timed.at_anchors_clock(drift), drift)
            return Measured(board, graphs, dict(anchor.times), anchor.flagged)
        finally:
            if pool:
                pool.close()
