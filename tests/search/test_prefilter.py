"""The model of accuracy: it ranks what it has not seen, spends no more scores, repeats itself and can be replayed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import kendalltau

from splitkit.errors import ConfigError
from splitkit.search import Constraints, Journal, Progress, SearchConfig, SearchResult, load_result, save_result, search
from splitkit.search.accuracy_model import LEAST_SCORED, AccuracyModel
from splitkit.search.front import hypervolume
from splitkit.space import Sampler
from splitkit.space.encoding import Encoding
from tests.search.hardware import TINY, FormulaEvaluator, FormulaPredictor, system

PAPER = system()
PLAIN = SearchConfig(population=12, generations=5, seed=1)
CONFIG = replace(PLAIN, oversample=6)


def run(
    config: SearchConfig, evaluator: FormulaEvaluator | None = None, journal: Journal | None = None
) -> SearchResult:
    predictor = FormulaPredictor(TINY, PAPER)
    return search(TINY, PAPER, predictor, evaluator or FormulaEvaluator(TINY), config, journal=journal)


def test_candidates_never_seen_are_ranked_well() -> None:
    sampler = Sampler(TINY, np.random.default_rng(0))
    architectures = list(dict.fromkeys(sampler.uniform() for _ in range(300)))
    genes = Encoding(TINY).encode_all(architectures)
    predictor = FormulaPredictor(TINY, PAPER)
    accuracy = np.array([FormulaEvaluator(TINY).of(a) for a in architectures])
    model = AccuracyModel(Encoding(TINY))
    model.fit(genes[:150], predictor.predict(genes[:150]), accuracy[:150])
    said = model.predict(genes[150:], predictor.predict(genes[150:]))
    assert kendalltau(said, accuracy[150:]).statistic > 0.6


def test_too_few_scores_teach_nothing() -> None:
    genes = Encoding(TINY).encode_all([TINY.largest(i) for i in range(8)])
    model, predictor = AccuracyModel(Encoding(TINY)), FormulaPredictor(TINY, PAPER)
    assert len(genes) < LEAST_SCORED
    model.fit(genes, predictor.predict(genes), np.linspace(0, 1, len(genes)))
    assert not model.fitted


def test_more_is_proposed_and_no_more_is_scored() -> None:
    evaluator = FormulaEvaluator(TINY)
    result = run(CONFIG, evaluator)
    plain = run(PLAIN)
    assert sum(result.evaluated.values()) == len(evaluator.asked) == sum(plain.evaluated.values())
    assert plain.accuracy_model == {}
    for quality in result.accuracy_model.values():
        assert quality.proposed >= 1.5 * CONFIG.population * CONFIG.oversample
        assert quality.held_out >= 2 * CONFIG.population
        assert quality.rank_correlation is not None
        assert quality.rank_correlation > 0.3


def test_at_equal_scores_the_front_is_no_worse() -> None:
    areas = {
        oversample: np.mean([area(run(replace(PLAIN, seed=seed, oversample=oversample))) for seed in range(3)])
        for oversample in (1, 6)
    }
    assert areas[6] > areas[1]


def area(result: SearchResult) -> float:
    points = result.merged_front
    accuracy, latency = np.array([p.accuracy for p in points]), np.array([p.total_us for p in points])
    return hypervolume(accuracy, latency, 1e4)


def test_limits_hold_and_are_not_spent_on() -> None:
    limits = Constraints(payload_bytes=600.0)
    evaluator, predictor = FormulaEvaluator(TINY), FormulaPredictor(TINY, PAPER)
    config = replace(CONFIG, generations=7)
    evaluated: list[int] = []

    def note(progress: Progress) -> None:
        if progress.system == "split":
            evaluated.append(progress.evaluated)

    result = search(TINY, PAPER, predictor, evaluator, config, constraints=limits, on_progress=note)
    assert all(predictor.figures(a)["payload_bytes"] <= 600 for a in evaluator.asked)
    assert result.infeasible["split"] > 0, "nothing was beyond the limit: nothing is tested below"
    once_it_can_tell = np.diff(evaluated)[3:]
    assert set(once_it_can_tell) == {config.population}, "the model never proposes what is beyond a limit"


def test_the_same_seed_repeats_it_and_a_replay_asks_nothing(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    first, evaluator = run(CONFIG, journal=Journal(path)), FormulaEvaluator(TINY)
    assert run(CONFIG) == first
    assert run(CONFIG, evaluator, Journal(path, replay=True)) == first
    assert evaluator.asked == []


def test_its_quality_is_kept_in_the_result_file(tmp_path: Path) -> None:
    result = run(CONFIG)
    save_result(result, tmp_path / "pareto.json")
    assert load_result(tmp_path / "pareto.json") == result


def test_impossible_oversampling_is_refused() -> None:
    with pytest.raises(ConfigError, match="oversample: 0"):
        SearchConfig(oversample=0)
