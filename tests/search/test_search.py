"""The search: it finds what is there, keeps to its limits, repeats itself, and learns from measurements."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest

from splitkit.errors import ConfigError
from splitkit.profiles import System
from splitkit.search import Constraints, Feedback, Journal, Progress, SearchConfig, SearchResult, fastest_at, search
from splitkit.space import Architecture, Sampler, space_size
from tests.search.hardware import TINY, FormulaEvaluator, FormulaPredictor, system

PAPER = system()
SMALL = SearchConfig(population=12, generations=5, seed=1)


def run(config: SearchConfig = SMALL, evaluator: FormulaEvaluator | None = None, **more: Any) -> SearchResult:
    paper = more.pop("system", PAPER)
    return search(TINY, paper, FormulaPredictor(TINY, paper), evaluator or FormulaEvaluator(TINY), config, **more)


@pytest.fixture(scope="module")
def plain() -> SearchResult:
    """What `run()` finds, for tests that only look at it."""
    return run()


def test_every_system_has_its_own_front_and_none_beats_the_merged_one(plain: SearchResult) -> None:
    for placement in ("sensor", "aggregator", "split"):
        front = plain.front(placement)
        assert front
        assert {point.placement for point in front} == {placement}
        assert all(a.total_us < b.total_us and a.accuracy < b.accuracy for a, b in pairwise(front))
    for point in plain.points:
        assert any(m.total_us <= point.total_us and m.accuracy >= point.accuracy for m in plain.merged_front)


def test_systems_get_the_same_budget(plain: SearchResult) -> None:
    spent = {name: plain.evaluated[name] + plain.infeasible[name] for name in plain.fronts}
    assert set(spent.values()) == {SMALL.population * SMALL.generations}


def test_a_search_beats_the_same_number_of_random_draws() -> None:
    config = SearchConfig(population=24, generations=15, systems=("split",))
    predictor = FormulaPredictor(TINY, PAPER)
    ratios = []
    for seed in range(4):
        found = run(replace(config, seed=seed))
        sampler = Sampler(TINY.restricted("split"), np.random.default_rng(seed))
        drawn = [sampler.uniform() for _ in range(config.population * config.generations)]
        evaluator = FormulaEvaluator(TINY)
        best = min(predictor.figures(a)["total_us"] for a in drawn if evaluator.of(a) >= 0.95)
        point = fastest_at(found.points, 0.95)
        assert point is not None
        ratios.append(point.total_us / best)
    assert np.exp(np.log(ratios).mean()) < 0.85


def test_the_ends_win_where_they_should() -> None:
    slow_link = run(system=system(sensor_macs_per_s=20e9, bandwidth_bytes_per_s=1e5))
    slow_sensor = run(system=system(sensor_macs_per_s=2e7, bandwidth_bytes_per_s=1e8))
    for result, placement in ((slow_link, "sensor"), (slow_sensor, "aggregator")):
        best = fastest_at(result.points, 0.95)
        assert best is not None
        assert best.placement == placement


def test_a_small_space_is_searched_to_the_end_and_then_left() -> None:
    phases = tuple(
        phase.model_copy(update={"widths": phase.widths[:1], "before": (0,), "after": (0,), "kernels": (3,)})
        for phase in TINY.phases
    )
    space = TINY.model_copy(update={"phases": phases, "stem": TINY.stem.model_copy(update={"widths": (8,)})})
    evaluator = FormulaEvaluator(space)
    config = SearchConfig(population=8, generations=30, systems=("sensor", "aggregator"))
    result = search(space, PAPER, FormulaPredictor(space, PAPER), evaluator, config)
    for placement in config.systems:
        assert result.evaluated[placement] == space_size(space.restricted(placement)) == 24


def test_several_views_are_searched_with_late_and_early_fusion() -> None:
    space = TINY.model_copy(update={"input": TINY.input.model_copy(update={"views": 2})})
    link = PAPER.link.model_copy(update={"shared": True})
    paper = PAPER.model_copy(update={"link": link})
    result = search(space, paper, FormulaPredictor(space, paper), FormulaEvaluator(space), SMALL)
    assert all(result.front(placement) for placement in ("sensor", "aggregator", "split"))
    for point in result.points:
        assert point.link_us == pytest.approx(2 * (20.0 + point.payload_bytes))
    assert all(0 < p.architecture.fuse < p.architecture.units for p in result.front("aggregator"))


def test_the_same_seed_repeats_the_search_and_another_does_not(plain: SearchResult) -> None:
    assert run() == plain
    assert run(SearchConfig(population=12, generations=5, seed=2)).points != plain.points


def test_limits_hold_for_every_point_and_cost_no_evaluation_beyond_them() -> None:
    limits = Constraints(sensor_us=400.0, payload_bytes=600.0, sensor_peak_bytes=30_000.0, total_macs=1.2e6)
    evaluator = FormulaEvaluator(TINY)
    result = run(evaluator=evaluator, constraints=limits)
    assert result.points
    for point in result.points:
        assert point.sensor_us <= 400.0
        assert point.payload_bytes <= 600
        assert point.peak_sensor_bytes <= 30_000
        assert point.sensor_macs + point.aggregator_macs <= 1.2e6
    predictor = FormulaPredictor(TINY, PAPER)
    assert all(predictor.figures(a)["payload_bytes"] <= 600 for a in evaluator.asked)
    assert result.front("aggregator") == ()
    assert result.infeasible["aggregator"] > 0


def test_the_sensors_memory_is_a_limit_by_default() -> None:
    result = run(system=system(memory_bytes=20_000))
    assert result.constraints.sensor_peak_bytes == 20_000
    assert max(point.peak_sensor_bytes for point in result.points) <= 20_000


def test_accuracies_are_shared_and_never_asked_twice() -> None:
    evaluator = FormulaEvaluator(TINY)
    result = run(evaluator=evaluator)
    assert len(evaluator.asked) == len(set(evaluator.asked)) == sum(result.evaluated.values())


def test_progress_is_told_after_every_generation() -> None:
    seen: list[Progress] = []
    run(on_progress=seen.append)
    assert [(p.system, p.generation) for p in seen] == [
        (name, g) for g in range(1, 6) for name in ("sensor", "aggregator", "split")
    ]
    assert seen[-1].evaluated > seen[-4].evaluated


class KilledError(Exception):
    pass


def test_a_killed_search_resumes_to_the_same_result_paying_only_for_the_rest(tmp_path: Path) -> None:
    path, whole = tmp_path / "journal.jsonl", FormulaEvaluator(TINY)
    expected = run(evaluator=whole)

    def kill(progress: Progress) -> None:
        if (progress.system, progress.generation) == ("aggregator", 3):
            raise KilledError

    before, after = FormulaEvaluator(TINY), FormulaEvaluator(TINY)
    with pytest.raises(KilledError):
        run(evaluator=before, journal=Journal(path), on_progress=kill)
    assert run(evaluator=after, journal=Journal(path)) == expected
    assert before.asked + after.asked == whole.asked
    assert len(before.asked) > 60


def test_what_cannot_be_exported_is_replaced_by_the_next_best(plain: SearchResult) -> None:
    def admissible(architecture: Architecture) -> str | None:
        return "arena of 9 bytes" if architecture.resolution == 16 else None

    result = run(admissible=admissible)
    assert result.rejected
    assert set(result.rejected.values()) == {"arena of 9 bytes"}
    assert result.points
    assert all(point.architecture.resolution != 16 for point in result.points)
    assert any(point.architecture.resolution == 16 for point in plain.points)
    assert {p.architecture for p in plain.points if p.architecture.resolution != 16} <= {
        p.architecture for p in result.points
    }


@dataclass(frozen=True)
class Timed:
    """A measurement: the truth, in which the sensor is three times slower than believed."""

    architecture: Architecture
    total_us: float

    def to_json(self) -> dict[str, Any]:
        return {"architecture": self.architecture.to_json(), "total_us": self.total_us}

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> Self:
        return cls(Architecture.from_json(body["architecture"]), body["total_us"])


class Bench:
    """Measures the truth and fits the one wrong number of the predictor."""

    def __init__(self, paper: System = PAPER) -> None:
        self.system = paper
        self.truth = FormulaPredictor(TINY, paper, belief=3.0)
        self.measured: list[Architecture] = []

    def measure(self, architecture: Architecture) -> Timed:
        self.measured.append(architecture)
        return Timed(architecture, self.truth.figures(architecture)["total_us"])

    def refit(self, measurements: Sequence[Timed]) -> FormulaPredictor:
        plain = FormulaPredictor(TINY, self.system)
        rows = [(plain.figures(m.architecture), m.total_us) for m in measurements]
        scales = [(t - f["link_us"] - f["aggregator_us"]) / f["sensor_us"] for f, t in rows if f["sensor_us"] > 0]
        return FormulaPredictor(TINY, self.system, belief=float(np.median(scales)))

    def feedback(self, **more: Any) -> Feedback[Timed]:
        return Feedback(measure=self.measure, load=Timed.from_json, refit=self.refit, **more)


def test_feedback_goes_on_until_newly_measured_candidates_agree() -> None:
    bench = Bench()
    result = run(feedback=bench.feedback(rounds=5, tolerance=0.01))
    assert [record.round for record in result.feedback] == [1, 2]
    assert result.feedback[0].median_error > 0.2
    assert result.feedback[1].max_error < 1e-9
    assert len(bench.measured) == len(set(bench.measured))
    for point in result.points:
        assert point.total_us == pytest.approx(bench.truth.figures(point.architecture)["total_us"])


def test_what_was_measured_last_corrects_what_is_reported() -> None:
    bench = Bench()
    result = run(feedback=bench.feedback(rounds=1, tolerance=10.0))
    assert len(result.feedback) == 1
    for point in result.points:
        assert point.total_us == pytest.approx(bench.truth.figures(point.architecture)["total_us"])


def test_feedback_measures_the_current_best_of_every_system() -> None:
    bench = Bench()
    run(feedback=bench.feedback(rounds=1, per_round=3))
    assert {architecture.placement for architecture in bench.measured[:3]} == {"sensor", "aggregator", "split"}


def test_feedback_undoes_a_choice_made_on_a_wrong_belief() -> None:
    paper = system(sensor_macs_per_s=2.5e9)
    bench, config = Bench(paper), replace(SMALL, seed=1)  # with 0 the belief happens to choose the right one
    wrong = run(config, system=paper)
    corrected = run(config, system=paper, feedback=bench.feedback(rounds=3, tolerance=0.01))
    believed, found = (fastest_at(result.points, 0.95) for result in (wrong, corrected))
    assert believed is not None
    assert found is not None
    before, after = (bench.truth.figures(point.architecture)["total_us"] for point in (believed, found))
    assert after < 0.9 * before


def test_measured_points_carry_their_measurement() -> None:
    bench = Bench()
    result = run(feedback=bench.feedback(rounds=1, tolerance=10.0))
    carried = {p.architecture: p.measured_total_us for p in result.points if p.measured_total_us is not None}
    assert carried
    assert set(carried) <= set(bench.measured)
    assert all(carried[a] == bench.truth.figures(a)["total_us"] for a in carried)


def test_a_replay_measures_and_evaluates_nothing_and_gives_the_same(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    first = run(journal=Journal(path), feedback=Bench().feedback(tolerance=0.01))
    bench, evaluator = Bench(), FormulaEvaluator(TINY)
    again = run(evaluator=evaluator, journal=Journal(path, replay=True), feedback=bench.feedback(tolerance=0.01))
    assert again == first
    assert bench.measured == []
    assert evaluator.asked == []


@pytest.mark.parametrize(
    ("settings", "says"),
    [({"population": 2}, "population"), ({"mutation": 1.5}, "mutation"), ({"systems": ("split", "split")}, "systems")],
)
def test_impossible_settings_are_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        SearchConfig(**settings)


def test_impossible_limits_are_refused() -> None:
    with pytest.raises(ConfigError, match="payload_bytes: 0"):
        Constraints(payload_bytes=0.0)
