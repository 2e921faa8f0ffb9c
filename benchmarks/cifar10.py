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
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from network_quality import deployed_accuracies, rank_quality, shared_accuracies
from scipy.stats import t as student

from report import emit
from splitkit.bench import TableClock, measure_architecture
from splitkit.data import Dataset
from splitkit.latency import LutStore, Measurement, SystemPredictor
from splitkit.profiles import System
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
from splitkit.scores import Score
from splitkit.search import Constraints, Journal, SearchConfig, search
from splitkit.search.candidate import Candidate, judge
from splitkit.search.front import hypervolume, pareto_front, spread
from splitkit.search.protocol import Evaluator
from splitkit.space import Architecture, Sampler, SearchSpace
from splitkit.supernet import Supernet
from splitkit.training import StepReport, calibration_images, score, score_subnetwork

CHANCE = 0.1
"""Accuracy of guessing among ten classes."""

SMALL_MACS = 12.5e6
"""Multiply-accumulates of MLPerf Tiny's ResNet-8."""

Examined = tuple[dict[str, float], list[dict[str, Any]]]
"""Figures and rows."""

WAYS = ("search", "search with accuracy model", "random draws")


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


@dataclass(frozen=True)
class Setting:
    """What the ways are compared on."""

    space: SearchSpace
    system: System
    predictor: SystemPredictor
    evaluator: Evaluator
    supernet: Supernet
    data: Dataset
    journal: Journal
    tests: Journal
    clock: TableClock

    def measure(self, architecture: Architecture) -> dict[str, Any]:
        """Both sides of a network, timed at the table's clock, as JSON."""
        return measure_architecture(self.space, self.system, architecture, clock=self.clock).to_json()


@dataclass(frozen=True)
class Front:
    """Points of one way's front: total time predicted and measured, accuracy on the search slice and the test set."""

    way: str
    seed: int
    evaluated: int
    architectures: tuple[Architecture, ...]
    predicted_us: Any
    measured_us: Any
    search_accuracy: Any
    test_accuracy: Any
    rank_correlation: float | None

    def area(self, worst_us: float) -> float:
        """Hypervolume above chance, of what was measured and tested."""
        return hypervolume(np.maximum(self.test_accuracy - CHANCE, 0.0), self.measured_us, worst_us)


def search_front(setting: Setting, config: SearchConfig) -> tuple[list[Candidate], int, float | None]:
    """The merged front of a search, how many accuracies it needed, and how well its model of accuracy ranked."""
    result = search(
        setting.space, setting.system, setting.predictor, setting.evaluator, config, journal=setting.journal
    )
    scores = {point.architecture: Score(point.accuracy, point.log_likelihood) for point in result.merged_front}
    constraints = Constraints.for_system(setting.system)
    front = judge(setting.space, setting.predictor, constraints, scores)
    taus = [q.rank_correlation for q in result.accuracy_model.values() if q.rank_correlation is not None]
    return front, sum(result.evaluated.values()), float(np.mean(taus)) if taus else None


def random_front(setting: Setting, config: SearchConfig) -> tuple[list[Candidate], int, None]:
    """The merged front of as many random draws, within the same constraints, an equal share for each system."""
    constraints = Constraints.for_system(setting.system)
    drawn: dict[Architecture, None] = {}
    for number, placement in enumerate(config.systems):
        sampler = Sampler(setting.space.restricted(placement), np.random.default_rng([config.seed, number]))
        wanted = len(drawn) + config.population * config.generations
        while len(drawn) < wanted:
            architecture = sampler.uniform()
            prediction = setting.predictor.predict_one(architecture)
            if np.all(constraints.violations(prediction) <= 0):
                drawn[architecture] = None
    scores = setting.journal.score(setting.evaluator, list(drawn))
    found = judge(setting.space, setting.predictor, constraints, dict(zip(drawn, scores, strict=True)))
    best = pareto_front(np.array([c.score.log_likelihood for c in found]), np.array([c.total_us for c in found]))
    return [found[i] for i in best], len(drawn), None


class Tester:
    """Scores on the test set with shared weights; for fronts only."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.calibration = calibration_images(setting.data.train)

    def score(self, architectures: Sequence[Architecture]) -> list[Score]:
        setting = self.setting
        return [score(setting.supernet, a, setting.data.test, self.calibration).score for a in architectures]


def examine(setting: Setting, way: str, config: SearchConfig, points: int) -> Front:
    """One way's front, compiled, timed and tested."""
    find = random_front if way == "random draws" else search_front
    candidates, evaluated, tau = find(setting, config)
    candidates = sorted(candidates, key=lambda c: c.total_us)
    chosen = [candidates[i] for i in spread(np.array([c.total_us for c in candidates]), points)]
    architectures = tuple(c.architecture for c in chosen)
    measured = [Measurement.from_json(setting.tests.measurement(a, partial(setting.measure, a))) for a in architectures]
    return Front(
        way,
        config.seed,
        evaluated,
        architectures,
        np.array([c.total_us for c in chosen]),
        np.array([m.total_us for m in measured]),
        np.array([c.accuracy for c in chosen]),
        np.array([score.accuracy for score in setting.tests.score(Tester(setting), architectures)]),
        tau,
    )


def ratio_with_interval(name: str, ratios: Sequence[float]) -> dict[str, float]:
    """Geometric mean of ratios and a 95 % t interval over seeds, of the logarithm; no interval for one seed."""
    logs = np.log(ratios)
    figures = {name: float(np.exp(logs.mean()))}
    if len(logs) > 1:
        half = student.ppf(0.975, len(logs) - 1) * logs.std(ddof=1) / np.sqrt(len(logs))
        figures |= {f"{name}_low": float(np.exp(logs.mean() - half)), f"{name}_high": float(np.exp(logs.mean() + half))}
    return figures


def slowest_us(setting: Setting) -> float:
    """Predicted time of the largest network where it is slowest: the corner that hypervolumes are measured from.

    A corner taken from the fronts themselves would make much of whichever front happens to reach it.
    """
    cuts = range(setting.space.max_units + 1)
    genes = setting.predictor.encoding.encode_all(setting.space.largest(cut) for cut in cuts)
    return float(setting.predictor.predict(genes).total_us.max())


def compare(fronts: Sequence[Front], worst_us: float) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """Hypervolume ratios to random draws, and one row per front; nothing of none."""
    if not fronts:
        return {}, []
    areas = {(front.way, front.seed): front.area(worst_us) for front in fronts}
    seeds = sorted({front.seed for front in fronts})
    figures: dict[str, float] = {}
    for way, name in zip(WAYS[:2], ("search", "search_with_model"), strict=True):
        ratios = [areas[way, s] / areas[WAYS[2], s] for s in seeds]
        figures |= ratio_with_interval(f"hypervolume_ratio_{name}", ratios)
    taus = [front.rank_correlation for front in fronts if front.rank_correlation is not None]
    if taus:
        figures["accuracy_model_rank_correlation"] = float(np.mean(taus))
    rows = [
        {
            "way": front.way,
            "seed": front.seed,
            "evaluations": front.evaluated,
            "points": len(front.architectures),
            "hypervolume": areas[front.way, front.seed],
            "best test accuracy": float(front.test_accuracy.max()),
            "its measured us": float(front.measured_us[front.test_accuracy.argmax()]),
            "fastest us": float(front.measured_us.min()),
            "its test accuracy": float(front.test_accuracy[front.measured_us.argmin()]),
        }
        for front in fronts
    ]
    return figures, rows


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
