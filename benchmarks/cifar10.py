"""Is a search worth more than random draws, on CIFAR-10? From untrained weights to measured networks, in one command.

Trains the supernet of `cifar`, measures kernels, then for every seed spends at most so many supernet evaluations
three ways: the evolutionary search, the same search with the model of accuracy in front (`oversample`), and random
draws, an equal share for each of all-on-sensor, all-on-aggregator and split. Evenly spread points of each front are
then compiled and timed on the system's devices, and scored with its shared weights on the test set, which is opened for
nothing else. Fronts are compared by hypervolume (accuracy above chance x log of measured latency), as ratios to random
draws with an interval over the seeds. With `--deploy` the first search's best network of each system is fine-tuned,
tested and timed as well. With `--networks N` it also says whether the networks are worth comparing
(`network_quality.py`).

Stopped and started again with the same `--work` it goes on where it was.

    python benchmarks/cifar10.py --data CIFAR10 [--work cifar10-work] [--json] [--deploy]

CIFAR10 is CIFAR-10 as an image folder: `train/<class>/*` and `val/<class>/*`. `--data digits --space tiny` makes the
same comparison in minutes.
"""

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fronts import WAYS, Setting, compare, examine, slowest_us
from network_quality import deployed_accuracies, rank_quality, shared_accuracies

from report import emit
from splitkit.bench import TableClock
from splitkit.latency import LutStore, Measurement, SystemPredictor
from splitkit.project import Project, Run
from splitkit.project.config import DataSection, TrainSection
from splitkit.project.duration import seconds_of
from splitkit.project.steps import (
    bench_step,
    finish_networks,
    load_data,
    load_trained,
    train_step,
    trained_evaluator,
)
from splitkit.search import Journal, SearchConfig, search
from splitkit.training import StepReport, score_subnetwork

SMALL_MACS = 12.5e6
"""Multiply-accumulates of MLPerf Tiny's ResNet-8."""

Examined = tuple[dict[str, float], list[dict[str, Any]]]
"""Figures and rows."""


class Clock:
    """Seconds of the clock, and of the processors here, that each step took over all runs; kept in a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seconds: dict[str, tuple[float, float]] = json.loads(path.read_text()) if path.exists() else {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        print(f"{name} ...", file=sys.stderr, flush=True)
        start, worked = time.monotonic(), time.process_time()
        try:
            yield
        finally:
            before = self.seconds.get(name, (0.0, 0.0))
            now = time.monotonic() - start, time.process_time() - worked
            self.seconds[name] = (before[0] + now[0], before[1] + now[1])
            self.path.write_text(json.dumps(self.seconds, indent=1))

    def figures(self) -> dict[str, float]:
        """Both, by step."""
        clock = {f"seconds, {name}": seconds for name, (seconds, _) in self.seconds.items()}
        return clock | {f"processor seconds, {name}": seconds for name, (_, seconds) in self.seconds.items()}


def deploy(project: Project, setting: Setting, config: SearchConfig) -> list[dict[str, Any]]:
    """The first search's best network of each system, fine-tuned: test accuracy and measured time."""
    result = search(
        setting.space, setting.system, setting.predictor, setting.evaluator, config, journal=setting.journal
    )
    rows = []
    for name, point in result.best.items():
        path = Run.of(project).subnetwork(name)
        [network] = finish_networks(project, setting.supernet, [point.architecture], setting.data)
        path.parent.mkdir(parents=True, exist_ok=True)
        network.save(path)
        measured = Measurement.from_json(
            setting.tests.measurement(
                point.architecture,
                partial(setting.measure, point.architecture),
            )
        )
        rows.append(
            {
                "system": name,
                "architecture": str(point.architecture),
                "search accuracy, shared weights": point.accuracy,
                "test accuracy, fine-tuned": score_subnetwork(network, setting.data.test).score.accuracy,
                "predicted us": point.total_us,
                "measured us": measured.total_us,
            }
        )
    return rows


def config_of(arguments: argparse.Namespace, seed: int) -> SearchConfig:
    """The plain search's budget."""
    return SearchConfig(population=arguments.population, generations=arguments.generations, seed=seed)


def run(arguments: argparse.Namespace) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """Figures and one row per front; with `--deploy` one per deployed network instead."""
    work: Path = arguments.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    clock = Clock(work / "seconds.json")
    source = arguments.data if arguments.data == "digits" else str(Path(arguments.data).resolve())
    project = Project(
        run="cifar10",
        space=arguments.space,
        system=arguments.system,
        data=DataSection(source=source, search_images=arguments.search_images, mirror=source != "digits"),
        train=TrainSection(
            steps=arguments.train_steps,
            budget=arguments.train_budget,
            batch=arguments.batch,
            learning_rate=arguments.learning_rate,
            fine_tune_steps=arguments.fine_tune_steps,
            fine_tune_budget=arguments.fine_tune_budget,
        ),
        root=work,
    )
    with clock.step("load data"):
        space, system = project.load_space(), project.load_system()
        data = load_data(project, space)
    with clock.step("train"):
        train_step(project, data, resume=True, report=_say_step)
    with clock.step("measure kernels"):
        bench_step(project, ("sensor", "aggregator"), arguments.bench_budget, lambda progress: None)
    supernet = load_trained(project)
    run_ = Run.of(project)
    conditions = {
        "supernet": hashlib.sha256(run_.supernet.read_bytes()).hexdigest()[:16],
        "data": f"{source}, {arguments.search_images} images",
        "system": arguments.system,
    }
    fronts = []
    with LutStore(run_.lut) as store, TemporaryDirectory() as scratch:
        setting = Setting(
            space, system, SystemPredictor(space, system, store), trained_evaluator(project, supernet, data), supernet,
            data, Journal(work / "scores.jsonl", conditions), Journal(work / "tests.jsonl", conditions),
            TableClock(store, Path(scratch)),
        )  # fmt: skip
        worst_us = slowest_us(setting)
        deployed = []
        if arguments.deploy:
            config = config_of(arguments, 0)
            with clock.step("fine-tune, test and time the best"):
                deployed = deploy(project, setting, config)
        quality: dict[str, float] = {}
        networks: list[dict[str, Any]] = []
        if arguments.networks:
            points = search(
                space, system, setting.predictor, setting.evaluator, config_of(arguments, 0), journal=setting.journal
            ).points
            examinations: dict[str, Callable[[], Examined]] = {
                "test shared weights": lambda: (shared_accuracies(supernet, data, 30, 0), []),
                "deploy the best split and the best small network": lambda: deployed_accuracies(
                    project, supernet, data, points, SMALL_MACS
                ),
                "rank networks": lambda: rank_quality(
                    project, supernet, data, points, arguments.networks, arguments.rank_steps
                ),
            }
            for name, examination in examinations.items():
                found, more = once(work / f"{name}.json", name, examination, clock)
                quality, networks = quality | found, networks + more
        for seed in range(arguments.seeds):
            for way in WAYS:
                oversample = arguments.oversample if way == WAYS[1] else 1
                config = replace(config_of(arguments, seed), oversample=oversample)
                with clock.step(f"{way}, seed {seed}"):
                    fronts.append(examine(setting, way, config, arguments.points))
    figures, rows = compare(fronts, worst_us)
    figures, rows = quality | figures, rows + networks
    figures |= clock.figures()
    for row in deployed:
        figures[f"deployed_{row['system']}_test_accuracy"] = row["test accuracy, fine-tuned"]
        figures[f"deployed_{row['system']}_measured_us"] = row["measured us"]
    return figures, rows


def once(path: Path, name: str, find: Callable[[], Examined], clock: Clock) -> Examined:
    """What `find` returns, kept in a file."""
    if not path.exists():
        with clock.step(name):
            found = find()
        path.write_text(json.dumps(found))
    figures, rows = json.loads(path.read_text())
    return figures, rows


def _say_step(report: StepReport) -> None:
    if report.step % 100 == 0:
        print(f"step {report.step} of {report.steps}: loss {report.loss:.3f}", file=sys.stderr, flush=True)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument("--data", required=True, help="CIFAR-10 as an image folder; or digits, with --space tiny")
    parser.add_argument("--work", type=Path, default=Path("cifar10-work"), help="what is kept between runs")
    parser.add_argument("--space", default="cifar", help="a preset or a .toml file")
    parser.add_argument("--system", default="demo", help="a profile or a .toml file")
    parser.add_argument("--train-steps", type=int, help="the space's own schedule by default")
    parser.add_argument("--train-budget", type=seconds_of, help="time for training in place of steps: 2h")
    parser.add_argument("--batch", type=int, help="images a step; the space's own by default, as the next")
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--fine-tune-budget", type=seconds_of, help="time for fine-tuning each deployed network: 20m")
    parser.add_argument(
        "--networks", type=int, default=0, help="networks to rank with weights of their own; 0 for none"
    )
    parser.add_argument("--rank-steps", type=int, default=1000, help="steps that each of them is fine-tuned")
    parser.add_argument("--bench-budget", type=float, default=240.0, help="seconds for measuring kernels, per device")
    parser.add_argument("--search-images", type=int, default=1000, help="images each candidate is scored on")
    parser.add_argument("--population", type=int, default=16, help="candidates per generation and system")
    parser.add_argument("--generations", type=int, default=6, help="generations per system")
    parser.add_argument("--oversample", type=int, default=10, help="candidates the accuracy model is offered per score")
    parser.add_argument("--points", type=int, default=6, help="points of each front that are timed and tested")
    parser.add_argument("--seeds", type=int, default=3, help="how often fronts are compared; 0: not at all")
    parser.add_argument("--deploy", action="store_true", help="fine-tune, test and time the best of each system too")
    parser.add_argument("--fine-tune-steps", type=int, help="the space's own schedule by default")
    arguments = parser.parse_args()
    figures, rows = run(arguments)
    notes = (
        "Times of the system's devices as its profiles say (`demo`: this machine, the sensor emulated x50, the link a "
        "model). Test accuracy with shared weights; deployed networks are fine-tuned."
    )
    emit("cifar10", figures, rows, as_json=arguments.json, notes=notes)


if __name__ == "__main__":
    main()
