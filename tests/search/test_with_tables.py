"""The search on real latency tables: the compiler's kernels, an analytical system, corrections from measurements."""

from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from splitkit.bench import measure_architecture
from splitkit.latency import Corrections, LutStore, Measurement, SystemPredictor
from splitkit.profiles import System
from splitkit.search import Feedback, Journal, SearchConfig, SearchResult, fastest_at, search
from splitkit.space import Architecture
from splitkit.space.encoding import Encoding
from splitkit.space.search_space import parse_space
from tests.search.hardware import FormulaEvaluator, system

SPACE = parse_space(
    """
    name = "small"
    [input]
    channels = 1
    size = 32
    resolutions = [16, 32]
    [stem]
    widths = [8]
    [[phases]]
    widths = [16]
    after = [0, 1, 2]
    kernels = [3, 5]
    expands = [2]
    [head]
    classes = 10
    [link]
    reduce_ratios = [0.25, 0.5, 1.0]
    dtypes = ["float16", "uint8"]
    """,
    "small",
)

EVERYTHING = list(
    dict.fromkeys(Encoding(SPACE).decode(g) for g in product(*(range(u + 1) for u in Encoding(SPACE).upper)))
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LutStore]:
    with LutStore(tmp_path_factory.mktemp("lut") / "lut.sqlite") as opened:
        yield opened


@pytest.mark.parametrize(("sensor_macs_per_s", "bandwidth"), [(4e9, 3e5), (4e8, 3e5), (4e8, 1e6), (2e8, 1e7)])
def test_the_enumerated_optimum_is_found(store: LutStore, sensor_macs_per_s: float, bandwidth: float) -> None:
    paper = system(sensor_macs_per_s, bandwidth)
    predictor, evaluator = SystemPredictor(SPACE, paper, store), FormulaEvaluator(SPACE)
    total_us = predictor.predict(Encoding(SPACE).encode_all(EVERYTHING)).total_us
    accuracy = evaluator.accuracy(EVERYTHING)
    result = search(SPACE, paper, predictor, evaluator, SearchConfig(population=12, generations=8))
    for threshold in np.quantile(accuracy, [0.5, 0.9]):
        found = fastest_at(result.points, threshold)
        assert found is not None
        assert found.total_us == pytest.approx(total_us[accuracy >= threshold].min())


class Bench:
    """A bench on a system that is not what the predictor believes it to be."""

    def __init__(self, believed: System, true: System, store: LutStore, folder: Path) -> None:
        self.true, self.folder = true, folder
        self.predictor = SystemPredictor(SPACE, believed, store)
        self.measured: list[Architecture] = []

    def measure(self, architecture: Architecture) -> Measurement:
        self.measured.append(architecture)
        return measure_architecture(SPACE, self.true, architecture, self.folder / str(len(self.measured)))

    def refit(self, measurements: Sequence[Measurement]) -> SystemPredictor:
        return self.predictor.with_corrections(Corrections.fit(self.predictor, measurements))

    def search(self, journal: Journal | None = None) -> SearchResult:
        feedback = Feedback(
            measure=self.measure, load=Measurement.from_json, refit=self.refit, tolerance=0.03, rounds=4
        )
        config = SearchConfig(population=12, generations=6)
        evaluator = FormulaEvaluator(SPACE)
        return search(SPACE, self.true, self.predictor, evaluator, config, feedback=feedback, journal=journal)


def test_corrections_bring_prediction_and_measurement_together(store: LutStore, tmp_path: Path) -> None:
    believed, true = system(2e9), system(4e8)
    bench = Bench(believed, true, store, tmp_path)
    result = bench.search()
    errors = [record.median_error for record in result.feedback]
    assert errors[0] > 0.05
    assert errors[-1] <= 0.03
    assert len(bench.measured) == len(set(bench.measured)) == sum(record.measured for record in result.feedback)
    truth = SystemPredictor(SPACE, true, store)
    off = [abs(p.total_us / truth.predict_one(p.architecture).total_us[0] - 1) for p in result.points]
    assert float(np.median(off)) < 0.05


def test_a_replay_needs_no_bench(store: LutStore, tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    first = Bench(system(2e9), system(4e8), store, tmp_path).search(Journal(path))
    again = Bench(system(2e9), system(4e8), store, tmp_path)
    assert again.search(Journal(path, replay=True)) == first
    assert again.measured == []
