"""Random search and search without split-awareness, on systems that are formulas."""

from collections import Counter

import numpy as np
import pytest

from splitkit.search import Constraints, Journal, SearchConfig, search
from splitkit.search.baselines.draws import draw
from splitkit.search.baselines.unaware import MacsPredictor, search_unaware
from splitkit.search.run import choose
from splitkit.space import Architecture, describe
from splitkit.space.encoding import Encoding
from splitkit.space.search_space import Placement
from tests.search.hardware import TINY, FormulaEvaluator, FormulaPredictor, system

CONFIG = SearchConfig(population=8, generations=4)
COUNTS: dict[Placement, int] = {"sensor": 5, "aggregator": 7, "split": 9}


def macs(architecture: Architecture) -> int:
    network = describe(TINY, architecture)
    return network.macs("sensor") + network.macs("aggregator")


def test_so_many_are_drawn_of_each_system_distinct_and_within_the_limits() -> None:
    predictor = FormulaPredictor(TINY, system())
    limits = Constraints(sensor_us=2000.0)
    drawn = draw(TINY, predictor, limits, COUNTS, seed=0)
    assert {name: len(found) for name, found in drawn.items()} == COUNTS
    everything = [a for found in drawn.values() for a in found]
    assert len(set(everything)) == len(everything)
    assert Counter(a.placement for a in everything) == COUNTS
    assert all(predictor.figures(a)["sensor_us"] <= 2000 for a in everything)
    assert draw(TINY, predictor, limits, COUNTS, seed=0) == drawn
    assert draw(TINY, predictor, limits, COUNTS, seed=1) != drawn


def test_where_nothing_is_within_the_limits_drawing_ends() -> None:
    assert draw(TINY, FormulaPredictor(TINY, system()), Constraints(total_us=1e-3), {"split": 3}, seed=0) == {
        "split": []
    }


def test_choosing_from_what_was_drawn_scores_that_and_copies_alone() -> None:
    predictor, evaluator = FormulaPredictor(TINY, system()), FormulaEvaluator(TINY)
    drawn = draw(TINY, predictor, Constraints(), COUNTS, seed=0)
    found = choose(TINY, system(), predictor, evaluator, drawn, CONFIG, constraints=Constraints())
    everything = {a for some in drawn.values() for a in some}
    assert set(evaluator.asked) == everything
    assert {p.architecture for p in found.points} <= everything
    assert found.evaluated == COUNTS
    for placement, point in found.best.items():
        assert point.placement == placement


def test_a_searchs_own_candidates_are_chosen_from_as_the_search_does() -> None:
    predictor, journal = FormulaPredictor(TINY, system()), Journal()
    result = search(TINY, system(), predictor, FormulaEvaluator(TINY), CONFIG, journal=journal)
    known: dict[Placement, list[Architecture]] = {
        name: [p.architecture for p in result.front(name)] for name in ("sensor", "aggregator", "split")
    }  # fmt: skip
    again = choose(
        TINY, system(), predictor, FormulaEvaluator(TINY), known, CONFIG, constraints=result.constraints
    )  # fmt: skip
    assert again.fronts == result.fronts
    assert again.chosen == result.chosen


def test_unaware_is_blind_to_the_link_and_the_sides() -> None:
    genes = Encoding(TINY).encode_all([TINY.largest(cut) for cut in (0, TINY.max_units)])
    found = MacsPredictor(FormulaPredictor(TINY, system())).predict(genes)
    assert found.total_us[0] == found.total_us[1] == pytest.approx(macs(TINY.largest(0)) / 1e3)
    assert np.all(found.link_us == 0)


@pytest.mark.parametrize("budget", [3e5, 1e6])
def test_unaware_finds_the_likeliest_network_within_the_budget(budget: float) -> None:
    predictor, evaluator = FormulaPredictor(TINY, system()), FormulaEvaluator(TINY)
    best, scored = search_unaware(TINY, system(), predictor, evaluator, CONFIG, 96, budget)
    assert best is not None
    assert best.placement == "aggregator"
    assert macs(best.architecture) <= budget
    assert 0 < scored <= 96
    assert best.log_likelihood == max(s.log_likelihood for s in FormulaEvaluator(TINY).score(evaluator.asked))
    assert macs(best.architecture) > 0.6 * budget, "accuracy grows with MACs here, so the best uses the budget"


def test_unaware_of_nothing_within_the_budget_there_is_nothing() -> None:
    predictor = FormulaPredictor(TINY, system())
    assert search_unaware(TINY, system(), predictor, FormulaEvaluator(TINY), CONFIG, 8, 10.0) == (None, 0)
