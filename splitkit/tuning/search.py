"""Search the parameters of a network's kernels: compile it with other ones everywhere, time every kernel in place.

One compiled network tries one candidate of each of its kernels at once, so that a candidate meets the caches and the
neighbours it would have. Candidate and rules take turns in bursts, kernels are compared within a turn. A minimum over
noisy ratios flatters itself, so the winners are compiled together and timed afresh, and only what is faster then as
well is kept.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitkit.compiler.kernel import Kernel
from splitkit.compiler.target import CompileTarget
from splitkit.devices import UnscaledDevice, get_device
from splitkit.errors import DeviceError
from splitkit.exporters.protocol import Artifact, TunableExporter
from splitkit.exporters.registry import get_exporter
from splitkit.graphs.graph import Graph
from splitkit.latency.measurement import summarise
from splitkit.profiles.schema import DeviceProfile
from splitkit.tuning.tuned import TunedKernel, TuningConditions, add_tuning, read_tuning

MOST_CANDIDATES = 12
"""Candidates of a kernel that are tried; the exporter lists the promising ones first."""
WORTH = 0.97
"""A kernel has to come below this share of its time, at first and when confirmed: less is within the noise."""
TURNS = 5
CONFIRMING_TURNS = 15
TURN_S = 0.02
RUNS = (3, 100)
"""Fewest and most runs of a turn; between them as many as fit `TURN_S`."""


@dataclass(frozen=True)
class TuneProgress:
    """How far tuning is: distinct kernels tried, how many of them became faster, seconds spent."""

    tried: int
    improved: int
    seconds: float


Progress = Callable[[TuneProgress], None]


@dataclass(frozen=True)
class TuneReport:
    """What tuning did.

    Attributes:
        tried: kernels with other parameters than their own, of which candidates were timed.
        improved: of those, the ones with parameters worth keeping.
        graph_ratios: for each graph with such a kernel its time tuned / untuned, end to end, measured after the search.
        seconds: how long it took.
    """

    tried: int
    improved: int
    graph_ratios: tuple[float, ...]
    seconds: float

    def text(self) -> str:
        """In one line, what people want to know of it."""
        line = f"{self.improved} of {self.tried} kernels tuned in {self.seconds:.0f} s"
        if not self.graph_ratios:
            return f"{line}: the rules' own choice stands"
        mean, graphs = float(np.exp(np.log(self.graph_ratios).mean())), len(self.graph_ratios)
        return f"{line}: {graphs} whole graphs with such kernels take {mean:.3f} of their time before"


def tune(
    graphs: Iterable[Graph],
    profile: DeviceProfile,
    path: Path,
    budget_s: float,
    progress: Progress = lambda _: None,
) -> TuneReport:
    """Tune the kernels of graphs, one graph after the other, until the budget is spent; rows go to the file at `path`.

    Kernels that the file knows under the same conditions are used as they are there and not tried again.

    Raises:
        DeviceError: the exporter has no parameters to search, or the device is a model that runs nothing.
    """
    start = time.monotonic()
    device, exporter = get_device(profile.unscaled()), get_exporter(profile.exporter)
    if not isinstance(exporter, TunableExporter) or device.kernel_model:
        raise DeviceError(
            f"device {profile.name}: its kernels cannot be tuned",
            "leave --tune out: only compiled, measured ones can be",
        )
    conditions = TuningConditions.of(device, profile.exporter)
    tried, improved, ratios = 0, 0, []
    for graph in graphs:
        if time.monotonic() - start > budget_s:
            break
        rows = [row for row in read_tuning(path) if conditions.hold_for(row)]
        with TemporaryDirectory(prefix="splitkit-") as work:
            search = _GraphSearch(graph.model(), device, exporter, rows, start + budget_s, Path(work))
            found = search.run()
        add_tuning(path, (TunedKernel(**conditions.__dict__, **row) for row in found.rows))
        tried, improved = tried + found.tried, improved + sum(row["parameters"] is not None for row in found.rows)
        ratios += [] if found.graph_ratio is None else [found.graph_ratio]
        progress(TuneProgress(tried, improved, time.monotonic() - start))
    return TuneReport(tried, improved, tuple(ratios), time.monotonic() - start)


@dataclass(frozen=True)
class _Found:
    """Of one graph: kernels tried, rows without their conditions, the whole graph tuned / untuned."""

    tried: int
    rows: list[dict[str, Any]]
    graph_ratio: float | None


class _GraphSearch:
    """The search on one graph. `rows` are known; a path that was loaded once is never compiled into again."""

    def __init__(
        self,
        model: Any,
        device: UnscaledDevice,
        exporter: TunableExporter,
        rows: Sequence[TunedKernel],
        deadline: float,
        work: Path,
    ) -> None:
        self.model, self.device, self.exporter, self.work = model, device, exporter, work
        self.deadline = deadline
        self.target: CompileTarget = device.target().untuned()
        self.known = dict(device.target().tuning)
        self.known |= {row.kernel: row.parameters for row in rows if row.parameters is not None}
        self.kernels: tuple[Kernel, ...] = exporter.lower(model, self.target)
        decided = {row.kernel for row in rows} | set(self.known)
        self.labels = {kernel.key: kernel.label for kernel in self.kernels}
        distinct = {kernel.key: kernel for kernel in self.kernels if kernel.key not in decided}
        candidates = {key: exporter.variants(kernel, self.target) for key, kernel in distinct.items()}
        self.candidates = {key: tuple(c[:MOST_CANDIDATES]) for key, c in candidates.items() if c}
        self.compiled = 0

    def run(self) -> _Found:
        """Try candidates while there is time, confirm the winners."""
        if not self.candidates:
            return _Found(0, [], None)
        rules = self._compile({})
        best: dict[str, tuple[float, Any]] = {}
        rounds = max(map(len, self.candidates.values()))
        done = 0
        for done in range(1, rounds + 1):
            began = time.monotonic()
            choice = {key: c[done - 1] for key, c in self.candidates.items() if len(c) >= done}
            ratios = self._ratios(rules, self._compile(choice), TURNS)
            for key, parameters in choice.items():
                best[key] = min(best.get(key, (np.inf, None)), (ratios[key], parameters), key=lambda pair: pair[0])
            if time.monotonic() + 2 * (time.monotonic() - began) > self.deadline:  # another round, and confirming
                break
        winners = {key: parameters for key, (ratio, parameters) in best.items() if ratio < WORTH}
        confirmed, graph_ratio = self._confirm(rules, winners)
        rows = [self._row(key, winners[key], ratio) for key, ratio in confirmed.items()]
        # A kernel whose candidates are not exhausted may be tried again with more time.
        lost = [key for key in best if key not in confirmed and len(self.candidates[key]) <= done]
        return _Found(len(best), rows + [self._row(key, None, 1.0) for key in lost], graph_ratio)

    def _row(self, key: str, parameters: Any, ratio: float) -> dict[str, Any]:
        return {"kernel": key, "label": self.labels[key], "parameters": parameters, "ratio": round(ratio, 4)}

    def _compile(self, choice: Mapping[str, Any]) -> Artifact:
        """The graph with these parameters; kernels tuned before keep theirs."""
        self.compiled += 1
        directory = self.work / str(self.compiled)
        return self.exporter.compile(self.model, self.target.tuned(self.known | dict(choice)), directory)

    def _confirm(self, rules: Artifact, winners: Mapping[str, Any]) -> tuple[dict[str, float], float | None]:
        """Winners that are faster again, with their ratios, and the ratio of the whole graph with those alone.

        Nothing is left of them where the whole graph is not faster.
        """
        if not winners:
            return {}, None
        ratios = self._ratios(rules, self._compile(winners), CONFIRMING_TURNS)
        kept = {key: ratios[key] for key in winners if ratios[key] < WORTH}
        if not kept:
            return {}, None
        whole = self._whole_ratio(rules, self._compile({key: winners[key] for key in kept}))
        return (kept, whole) if whole < 1.0 else ({}, None)

    def _ratios(self, rules: Artifact, other: Artifact, turns: int) -> dict[str, float]:
        """Time of each kernel in `other` over its time in `rules`, repeated kernels added up; medians over turns."""
        runs, turns = self._runs(rules), turns if self.device.real_time else 1
        keys = np.array([kernel.key for kernel in self.kernels])
        found = []
        for _ in range(turns):
            base, tuned = (self._kernel_times(artifact, runs) for artifact in (rules, other))
            found.append({key: tuned[keys == key].sum() / base[keys == key].sum() for key in self.candidates})
        return {key: float(np.median([ratios[key] for ratios in found])) for key in self.candidates}

    def _kernel_times(self, artifact: Artifact, runs: int) -> NDArray[np.float64]:
        """Time of each call."""
        return summarise(self.device.time_kernels(artifact, repeats=runs))[0]

    def _whole_ratio(self, rules: Artifact, tuned: Artifact) -> float:
        runs, turns = self._runs(rules), CONFIRMING_TURNS if self.device.real_time else 1
        pairs = [[self.device.time_graph(a, repeats=runs).undisturbed for a in (tuned, rules)] for _ in range(turns)]
        return float(np.median([ours / base for ours, base in pairs]))

    def _runs(self, artifact: Artifact) -> int:
        if not self.device.real_time:
            return 1
        once = self.device.time_graph(artifact, repeats=RUNS[0]).undisturbed  # us, since its time is real
        return int(np.clip(TURN_S * 1e6 / max(once, 1e-3), *RUNS))
