"""Does measuring candidates mend a table that is wrong?

A table of this machine is taken as the truth. One family's rows are then scaled, so that a search believes in
architectures that lean on that family: by 0.7 a front hardly gets worse, but what is believed of it is wrong. Rounds of
search, measure, correct follow; measured are the compiled candidates, on this machine. The front found is judged by the
true table: `hypervolume` is its hypervolume over that of the front found with the true table and as many rounds of
searching, `front_error` how far what the search believes of its front is from the truth. Accuracies are synthetic, a
fixed function of the architecture.

    python benchmarks/feedback.py [--space cifar] [--cases pointwise:0.7 depthwise:0.7 depthwise:0.1] [--budget 120]
                                  [--lut FILE] [--json]
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from report import emit
from splitkit.bench import TableClock, build_from_space, measure_architecture
from splitkit.devices import get_device
from splitkit.latency import Corrections, LutStore, Measurement, SystemPredictor
from splitkit.latency.kernel_times import network_conditions
from splitkit.profiles import System, load_device, load_link
from splitkit.scores import Score
from splitkit.search import Feedback, SearchConfig, SearchResult, search
from splitkit.search.front import hypervolume
from splitkit.space import Architecture, SearchSpace, describe, load_space

FloatArray = NDArray[np.float64]

ROUNDS = 3
SENSOR_SLOWDOWN = 20.0
NEVER_AGREED = 1e-9
"""Tolerance at which rounds never end early: the benchmark shows all of them."""


class SyntheticAccuracy:
    """More work is better, with less and less return; large windows and wide links help; every network has its luck."""

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self._known: dict[Architecture, float] = {}

    def score(self, architectures: Sequence[Architecture]) -> list[Score]:
        """Synthetic accuracies; likelihood rises with them."""
        for architecture in architectures:
            if architecture not in self._known:
                self._known[architecture] = self._of(architecture)
        return [Score(self._known[a], float(np.log(self._known[a]))) for a in architectures]

    def _of(self, architecture: Architecture) -> float:
        network = describe(self.space, architecture)
        operators = network.operators("sensor") + network.operators("aggregator")
        dense = sum(op.macs for op in operators if op.groups == 1)
        window = sum(op.macs for op in operators if op.groups > 1)
        accuracy = 0.95 - 0.25 * np.exp(-(((dense + 6 * window) / 8e6) ** 0.6))
        if architecture.has_splitting_module:
            accuracy -= 0.02 * (1 - architecture.reduce_ratio) ** 2
        luck = crc32(architecture.digest().encode()) / 2**32 - 0.5
        return float(accuracy + 0.001 * luck)


def corrupted(store: LutStore, system: System, family: str, scale: float, path: Path) -> LutStore:
    """A copy of the table with one family's rows scaled."""
    store.backup(path)
    wrong = LutStore(path)
    for conditions in network_conditions(get_device(system.aggregator.unscaled()), "tvm"):
        condition = wrong.condition(conditions)
        rows = wrong.times(condition)
        kernels = wrong.kernels("tvm", rows)
        scaled = [replace(row, value=row.value * scale) for key, row in rows.items() if kernels[key].family == family]
        wrong.replace_times(condition, wrong.start_session(condition), scaled)
    return wrong


class Judge:
    """Hypervolume of a search's front, by the true table."""

    def __init__(self, truth: SystemPredictor) -> None:
        self.truth = truth

    def true_us(self, result: SearchResult) -> FloatArray:
        """True latency of every point of the merged front."""
        genes = self.truth.encoding.encode_all(point.architecture for point in result.merged_front)
        return self.truth.predict(genes).total_us

    def corner(self, results: Sequence[SearchResult]) -> tuple[float, float]:
        """A latency and an accuracy that every point of all fronts beats."""
        slowest = max(float(self.true_us(result).max()) for result in results)
        return 1.1 * slowest, min(point.accuracy for result in results for point in result.merged_front) - 0.01

    def error(self, result: SearchResult) -> float:
        """Median of |believed / true latency - 1| over a front."""
        believed = np.array([point.total_us for point in result.merged_front])
        return float(np.median(np.abs(believed / self.true_us(result) - 1)))

    def volume(self, result: SearchResult, worst_us: float, worst_accuracy: float) -> float:
        """Area over the corner of the worst latency and accuracy."""
        accuracy = np.array([point.accuracy for point in result.merged_front])
        return hypervolume(np.maximum(accuracy - worst_accuracy, 0.0), self.true_us(result), worst_us)


def mend(
    space: SearchSpace,
    system: System,
    predictor: SystemPredictor,
    evaluator: SyntheticAccuracy,
    config: SearchConfig,
    rounds: int,
    measure: Callable[[Architecture], Measurement],
) -> SearchResult:
    """Search with a predictor, right or wrong, and so many rounds of feedback."""

    def refit(measurements: Sequence[Measurement]) -> SystemPredictor:
        return predictor.with_corrections(Corrections.fit(predictor, measurements))

    feedback = Feedback(
        measure=measure, load=Measurement.from_json, refit=refit, rounds=rounds, tolerance=NEVER_AGREED, per_round=6
    )
    return search(space, system, predictor, evaluator, config, feedback=feedback)


def status(text: str) -> None:
    """One line that replaces the last, on stderr."""
    print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def main() -> None:
    """Corrupt each family in turn, mend, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default="cifar")
    parser.add_argument("--cases", nargs="+", default=["pointwise:0.7", "depthwise:0.7", "depthwise:0.1"])
    parser.add_argument("--budget", type=float, default=120.0, help="seconds of building the table")
    parser.add_argument("--lut", type=Path, help="continue with this table instead of a new one")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()

    space, host = load_space(args.space), load_device("host")
    sensor = host.model_copy(update={"name": "slow-host", "time_scale": SENSOR_SLOWDOWN})
    system = System(name="feedback", sensor=sensor, link=load_link("spi"), aggregator=host)
    config = SearchConfig(population=64, generations=60, seed=args.seed)
    measured: dict[Architecture, Measurement] = {}

    def measure(architecture: Architecture) -> Measurement:
        if architecture not in measured:
            measured[architecture] = measure_architecture(space, system, architecture, clock=clock)
            status(f"measured {len(measured)} candidates")
        return measured[architecture]

    with tempfile.TemporaryDirectory() as scratch:
        store = LutStore(args.lut or Path(scratch) / "lut.db")
        build_from_space(
            store, space, system, "aggregator", budget_s=args.budget,
            progress=lambda p: status(f"building: {p.known} of {p.wanted} units covered, {p.seconds:.0f} s"),
        )  # fmt: skip
        clock = TableClock(store, Path(scratch))
        truth = SystemPredictor(space, system, store)
        judge = Judge(truth)
        evaluator = SyntheticAccuracy(space)
        honest = {rounds: mend(space, system, truth, evaluator, config, rounds, measure) for rounds in (0, ROUNDS)}
        rows: list[dict[str, Any]] = []
        for case in args.cases:
            family, scale = case.split(":")
            table = corrupted(store, system, family, float(scale), Path(scratch) / f"{case}.db")
            wrong = SystemPredictor(space, system, table)
            results = {rounds: mend(space, system, wrong, evaluator, config, rounds, measure) for rounds in (0, ROUNDS)}
            corner = judge.corner([*honest.values(), *results.values()])
            for rounds, result in results.items():
                rows.append(
                    {
                        "wrong": case,
                        "rounds": rounds,
                        "measured": sum(record.measured for record in result.feedback),
                        "hypervolume": judge.volume(result, *corner) / judge.volume(honest[rounds], *corner),
                        "front_error": judge.error(result),
                        "errors_of_new": " ".join(f"{record.median_error:.3f}" for record in result.feedback),
                    }
                )
        final = [row for row in rows if row["rounds"] == ROUNDS]
        first = [row for row in rows if row["rounds"] == 0]
        figures = {
            "hypervolume_recovered": min(row["hypervolume"] for row in final),
            "hypervolume_without_feedback": min(row["hypervolume"] for row in first),
            "front_error": max(row["front_error"] for row in final),
            "front_error_without_feedback": max(row["front_error"] for row in first),
            "rounds": ROUNDS,
        }
        status("")
        notes = f"sensor emulated x{SENSOR_SLOWDOWN:g} slower; accuracies synthetic"
        emit("feedback", figures, rows, as_json=args.json, notes=notes)
        store.close()


if __name__ == "__main__":
    main()
