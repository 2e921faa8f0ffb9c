"""The whole loop on embedded data, from untrained weights to a measured, corrected, split system."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from splitkit.bench.builder import BuildProgress
from splitkit.bundle import Bundle, TensorRecord
from splitkit.data import Dataset
from splitkit.project.config import Project
from splitkit.project.run import Run
from splitkit.project.steps import (
    Say,
    bench_step,
    best_points,
    export_step,
    finish_network,
    load_data,
    load_trained,
    search_step,
    silent,
    train_step,
    trained_evaluator,
    write_json,
)
from splitkit.runtime.measure import SystemMeasurement, measure_bundle
from splitkit.search import Point, SearchResult
from splitkit.search.run import Progress as SearchProgress
from splitkit.supernet import Supernet
from splitkit.training.progress import StepReport

SCHEMA_VERSION = 1
NAMES = {"sensor": "all_on_sensor", "aggregator": "all_on_aggregator", "split": "split"}
FRAMES = 100


@dataclass(frozen=True)
class Reporters:
    """Where the demo's progress goes."""

    say: Say = silent
    title: Say = silent
    training: Callable[[StepReport], None] = lambda report: None
    building: Callable[[BuildProgress], None] = lambda progress: None
    searching: Callable[[SearchProgress], None] = lambda progress: None


@dataclass(frozen=True)
class Deployed:
    """One system of the demo: the chosen point, its bundle, and what that measured."""

    point: Point
    bundle: Bundle
    measured: SystemMeasurement

    def to_json(self) -> dict[str, Any]:
        """The system's entry in `summary.json`."""
        medians = self.measured.medians()
        sensor = self.bundle.half("sensor")
        edges = 0 if sensor is None else _bytes(sensor.input) + _bytes(sensor.output)
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
            "peak_sensor_bytes": _bytes(image) if sensor is None else sensor.arena_bytes + edges,
            "labels": {"sensor": self.measured.sensor_label, "aggregator": self.measured.aggregator_label},
        }


@dataclass
class Demo:
    """What the demo found. `seconds` says how long each step took."""

    result: SearchResult
    systems: dict[str, Deployed]
    data: str
    seconds: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """`summary.json`."""
        return {
            "schema_version": SCHEMA_VERSION,
            "space": self.result.space,
            "system": self.result.system,
            "data": self.data,
            "systems": {name: deployed.to_json() for name, deployed in self.systems.items()},
            "feedback": [record.to_json() for record in self.result.feedback],
            "seconds": {name: round(value, 1) for name, value in self.seconds.items()},
        }


def run_demo(project: Project, reporters: Reporters | None = None) -> Demo:
    """Train, measure kernels, search with feedback, then export, prove, run and measure the best of each system.

    A demo that was stopped goes on where it was; one that ended is begun anew. Writes `runs/NAME/summary.json`.
    """
    to = reporters or Reporters()
    run = Run.of(project)
    if (run.directory / "summary.json").exists():
        shutil.rmtree(run.directory)
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
        bench_step(project, ("sensor", "aggregator"), None, to.building)
    with step("search", "searching, measuring what was found, correcting"):
        evaluator = trained_evaluator(project, supernet, data)
        result = search_step(project, evaluator, say=to.say, on_progress=to.searching)
    with step("deploy", "exporting, proving, running"):
        systems = _deploy(project, result, supernet, data, to.say)
    demo = Demo(result, systems, data.description, seconds)
    write_json(run.directory / "summary.json", demo.to_json())
    return demo


def _deploy(project: Project, result: SearchResult, supernet: Supernet, data: Dataset, say: Say) -> dict[str, Deployed]:
    """The best point of each system, finished, exported and run."""
    run = Run.of(project)
    best = best_points(result, len(data.search))
    deployed = {}
    for placement, name in NAMES.items():
        point = best.get(placement)
        if point is None:
            say(f"{name}: nothing fits the constraints")
            continue
        network = finish_network(project, supernet, point.architecture, data, say)
        bundle = export_step(project, point, network, data, run.bundle(name), say=say)
        say(f"running {name}")
        deployed[name] = Deployed(point, bundle, measure_bundle(bundle, FRAMES))
    return deployed


def _bytes(tensor: TensorRecord) -> int:
    return prod(tensor.shape) * np.dtype(tensor.dtype).itemsize
