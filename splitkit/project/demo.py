"""The whole loop on embedded data, from untrained weights to a measured, corrected, split system."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from splitkit.bench.progress import BuildProgress
from splitkit.bundle import Bundle
from splitkit.bundle.ownership import require_own_bundle, require_own_file
from splitkit.data import Dataset
from splitkit.project.config import Project
from splitkit.project.run import Run
from splitkit.project.steps import (
    Say,
    bench_step,
    export_step,
    finalist_tuner,
    finish_networks,
    hop_of,
    load_data,
    load_trained,
    search_step,
    silent,
    train_step,
    trained_evaluator,
)
from splitkit.report.verdict import Measured, Verdict, on_test_images, verdict_of
from splitkit.runtime.measure import SystemMeasurement, measure_bundle
from splitkit.scores import ImageScores, Interval, paired_difference
from splitkit.scratch import write_json
from splitkit.search import FinalsProgress, Point, SearchResult
from splitkit.search.run import Progress as SearchProgress
from splitkit.supernet import Supernet
from splitkit.training.evaluation import score_subnetwork
from splitkit.training.progress import StepReport

SCHEMA_VERSION = 2
NAMES = {"sensor": "all_on_sensor", "aggregator": "all_on_aggregator", "split": "split"}
FRAMES = 100

MEASURING_S = 30.0
"""For the kernels of each side's device, the most useful first; those that are left are estimated."""


@dataclass(frozen=True)
class Reporters:
    """Where the demo's progress goes."""

    say: Say = silent
    title: Say = silent
    training: Callable[[StepReport], None] = lambda report: None
    building: Callable[[BuildProgress], None] = lambda progress: None
    searching: Callable[[SearchProgress], None] = lambda progress: None
    choosing: Callable[[FinalsProgress], None] = lambda progress: None


@dataclass(frozen=True)
class Deployed:
    """One system of the demo: the chosen point, its bundle, what that measured, and what it says of the test images."""

    point: Point
    bundle: Bundle
    measured: SystemMeasurement
    tested: ImageScores

    def to_json(self) -> dict[str, Any]:
        """The system's entry in `summary.json`."""
        medians = self.measured.medians()
        sensor = self.bundle.half("sensor")
        edges = 0 if sensor is None else sum(tensor.spec.bytes for tensor in (*sensor.inputs, *sensor.outputs))
        image = self.bundle.manifest.image
        return {
            "architecture": self.point.architecture.to_json(),
            "test_accuracy": self.bundle.manifest.predicted["test_accuracy"],
            "predicted_total_us": self.point.total_us,
            "measured_total_us": medians["total_us"],
            "sensor_us": medians["sensor_us"],
            "link_us": medians["link_us"],
            "aggregator_us": medians["aggregator_us"],
            "payload_bytes": self.point.payload_bytes,
            "peak_sensor_bytes": image.spec.bytes if sensor is None else sensor.arena_bytes + edges,
            "labels": {"sensor": self.measured.sensor_label, "aggregator": self.measured.aggregator_label},
        }


@dataclass
class Demo:
    """What the demo found: systems by placement. `seconds` says how long each step took."""

    result: SearchResult
    systems: dict[str, Deployed]
    data: str
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def verdict(self) -> Verdict:
        """Which system wins."""
        measured = {placement: Measured.of(d.measured.total_us) for placement, d in self.systems.items()}
        found, against = verdict_of(self.result, measured), self._against
        return found if against is None else on_test_images(found, self._difference(against), against)

    @property
    def _against(self) -> str | None:
        """The better of the systems that do not split; None without one, or without split."""
        others = [placement for placement in self.systems if placement != "split"]
        if "split" not in self.systems or not others:
            return None
        return min(others, key=lambda placement: self.systems[placement].point.total_us)

    def _difference(self, against: str) -> Interval:
        """Test accuracy of split less that of another system, on the same images."""
        return paired_difference(self.systems["split"].tested, self.systems[against].tested)

    def comparison(self) -> dict[str, Any] | None:
        """The split system beside the better of the others; None without both."""
        against = self._against
        if against is None:
            return None
        split, other, interval = self.systems["split"], self.systems[against], self._difference(against)
        return {
            "against": NAMES[against],
            "predicted_ratio": split.point.total_us / other.point.total_us,
            "test_accuracy_difference": interval.difference,
            "low_95": interval.low,
            "high_95": interval.high,
            "test_images": len(split.tested.correct),
        }

    def to_json(self) -> dict[str, Any]:
        """`summary.json`."""
        return {
            "schema_version": SCHEMA_VERSION,
            "space": self.result.space,
            "system": self.result.system,
            "data": self.data,
            "systems": {NAMES[placement]: deployed.to_json() for placement, deployed in self.systems.items()},
            "comparison": self.comparison(),
            "verdict": asdict(self.verdict),
            "feedback": [record.to_json() for record in self.result.feedback],
            "seconds": {name: round(value, 1) for name, value in self.seconds.items()},
        }


def run_demo(project: Project, reporters: Reporters | None = None) -> Demo:
    """Train, measure kernels, search with feedback, then export, prove, run and measure the best of each system.

    A demo that was stopped goes on where it was; one that ended is begun anew, which takes away what it wrote and
    nothing else. Writes `runs/NAME/summary.json`.

    Raises:
        BundleError, ConfigError: something that splitkit did not write is where the demo's files go.
    """
    to = reporters or Reporters()
    run = Run.of(project)
    for name in NAMES.values():
        require_own_bundle(run.bundle(name))
    if run.summary.exists():
        require_own_file(run.summary, lambda head: head.startswith(b'{\n "schema_version": '))
        for name in NAMES.values():
            shutil.rmtree(run.bundle(name), ignore_errors=True)
        run.forget()
    seconds: dict[str, float] = {}

    @contextmanager
    def step(name: str, title: str) -> Iterator[None]:
        to.title(title)
        start = time.monotonic()
        yield
        seconds[name] = time.monotonic() - start

    with step("train", "training the supernets"):
        data = load_data(project, project.load_space(), to.say)
        train_step(project, data, resume=True, report=to.training)
        supernet = load_trained(project)
    with step("bench", "measuring kernels in place"):
        bench_step(project, ("sensor", "aggregator"), MEASURING_S, to.building)
        to.say(f"link: {hop_of(project).text()}")
    with step("search", "searching, measuring what was found, correcting"):
        evaluator = trained_evaluator(project, supernet, data)
        tuner = finalist_tuner(project, supernet, data)
        result = search_step(
            project, evaluator, tuner=tuner, say=to.say, on_progress=to.searching, on_finals=to.choosing
        )  # fmt: skip
    with step("deploy", "exporting, proving, running"):
        systems = _deploy(project, result, supernet, data, to.say)
    demo = Demo(result, systems, data.description, seconds)
    write_json(run.summary, demo.to_json())
    return demo


def _deploy(project: Project, result: SearchResult, supernet: Supernet, data: Dataset, say: Say) -> dict[str, Deployed]:
    """The chosen point of each system, finished, exported and run; by placement."""
    run = Run.of(project)
    for placement, name in NAMES.items():
        if placement not in result.best:
            say(f"{name}: nothing fits the constraints")
    best = {placement: result.best[placement] for placement in NAMES if placement in result.best}
    networks = list(finish_networks(project, supernet, [p.architecture for p in best.values()], data, say))
    deployed = {}
    for (placement, point), network in zip(best.items(), networks, strict=True):
        name = NAMES[placement]
        bundle = export_step(project, point, network, data, run.bundle(name), say=say)
        say(f"running {name}")
        deployed[placement] = Deployed(
            point, bundle, measure_bundle(bundle, FRAMES), score_subnetwork(network, data.test)
        )  # fmt: skip
    return deployed
