"""Systems take in each other's networks, so that none is left behind for not having met them."""

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

from splitkit.scores import Score
from splitkit.search import Constraints, SearchConfig, search
from splitkit.search.candidate import judge
from splitkit.search.exchange import WORTH, Cuts, copies, cut_elsewhere, immigrants
from splitkit.space import Architecture, Sampler
from splitkit.space.search_space import Placement
from tests.search.hardware import TINY, FormulaEvaluator, FormulaPredictor, system

TWO_VIEWS = TINY.model_copy(update={"input": TINY.input.model_copy(update={"views": 2})})
PAPER = system()


@pytest.mark.parametrize("space", [TINY, TWO_VIEWS], ids=["one view", "two views"])
@pytest.mark.parametrize("placement", get_args(Placement))
def test_a_network_cut_elsewhere_is_the_same_network_of_that_system(space, placement: Placement) -> None:  # type: ignore[no-untyped-def]
    sampler = Sampler(space, np.random.default_rng(0))
    for _ in range(30):
        architecture = sampler.uniform()
        made = list(cut_elsewhere(space, architecture, placement))
        assert made
        for other in made:
            space.check(other)
            assert other.placement == placement
            assert (other.phases, other.resolution, other.stem_width, other.head_width) == (
                architecture.phases, architecture.resolution, architecture.stem_width, architecture.head_width
            )  # fmt: skip


def test_a_split_is_offered_at_every_position_over_every_width_of_the_link() -> None:
    whole = TINY.largest(TINY.max_units)
    made = list(cut_elsewhere(TINY, whole, "split"))
    assert {a.split for a in made} == set(range(1, whole.units))
    for cut in range(1, whole.units):
        widths = {TINY.link_channels(TINY.width_at(a, cut), a.reduce_ratio) for a in made if a.split == cut}
        assert len(widths) == len(TINY.distinct_ratios(TINY.width_at(whole, cut)))
        assert {a.link_dtype for a in made if a.split == cut} == set(TINY.link.dtypes)


def donors(*architectures: Architecture):  # type: ignore[no-untyped-def]
    scores = {a: Score(0.9, -0.1) for a in architectures}
    return judge(TINY, FormulaPredictor(TINY, PAPER), Constraints(), scores)


def test_a_network_is_cut_and_predicted_once_however_often_and_wherever_cut_it_is_offered() -> None:
    predictor, whole = FormulaPredictor(TINY, PAPER), TINY.largest(TINY.max_units)
    cuts = Cuts(TINY, predictor, Constraints())
    first = immigrants(cuts, "split", donors(whole), set(), 5)
    asked = predictor.calls
    assert asked == len(set(cut_elsewhere(TINY, whole, "split")))
    assert immigrants(cuts, "split", donors(whole), set(), 5) == first
    assert immigrants(cuts, "split", donors(first[0], first[1]), set(), 5) == first
    assert predictor.calls == asked


def test_only_what_is_new_and_within_the_limits_is_offered() -> None:
    predictor, whole = FormulaPredictor(TINY, PAPER), TINY.smallest(TINY.max_units)
    first = immigrants(Cuts(TINY, predictor, Constraints()), "split", donors(whole), set(), 3)
    assert len(first) == len(set(first)) == 3
    assert {a.placement for a in first} == {"split"}
    limits = Constraints(payload_bytes=predictor.figures(first[0])["payload_bytes"] / 2)
    for architecture in immigrants(Cuts(TINY, predictor, limits), "split", donors(whole), set(), 50):
        assert predictor.figures(architecture)["payload_bytes"] <= limits.limits()["payload_bytes"]
    assert immigrants(Cuts(TINY, predictor, Constraints(payload_bytes=1.0)), "split", donors(whole), set(), 5) == []
    assert immigrants(Cuts(TINY, predictor, Constraints()), "split", [], set(), 5) == []


def test_each_width_of_the_link_has_its_fastest_cut_among_those_offered() -> None:
    predictor, whole = FormulaPredictor(TINY, PAPER), TINY.largest(TINY.max_units)
    offered = immigrants(Cuts(TINY, predictor, Constraints()), "split", donors(whole), set(), 50)
    by_ratio = {a.reduce_ratio: predictor.figures(a)["total_us"] for a in offered}
    assert set(by_ratio) == set(TINY.link.reduce_ratios)
    for architecture in cut_elsewhere(TINY, whole, "split"):
        assert predictor.figures(architecture)["total_us"] >= by_ratio[architecture.reduce_ratio]


def test_a_copy_has_the_widest_link_that_costs_about_what_its_donor_does() -> None:
    predictor, whole = FormulaPredictor(TINY, PAPER), TINY.largest(TINY.max_units)
    [donor] = donors(whole)
    [copy] = copies(Cuts(TINY, predictor, Constraints()), [donor]).values()
    cuts = {a: predictor.figures(a)["total_us"] for a in cut_elsewhere(TINY, whole, "split")}
    cheap = {a: us for a, us in cuts.items() if us <= WORTH * donor.total_us} or {min(cuts, key=cuts.__getitem__): 0.0}
    assert copy.reduce_ratio == max(a.reduce_ratio for a in cheap)
    assert cuts[copy] == min(us for a, us in cuts.items() if a.reduce_ratio == copy.reduce_ratio)


def test_where_every_cut_costs_more_the_copy_is_the_fastest() -> None:
    slow_link = system(2e10, 1e4)
    predictor, whole = FormulaPredictor(TINY, slow_link), TINY.largest(TINY.max_units)
    [donor] = judge(TINY, predictor, Constraints(), {whole: Score(0.9, -0.1)})
    [copy] = copies(Cuts(TINY, predictor, Constraints()), [donor]).values()
    cuts = [predictor.figures(a)["total_us"] for a in cut_elsewhere(TINY, whole, "split")]
    assert predictor.figures(copy)["total_us"] == min(cuts) > WORTH * donor.total_us
    assert copies(Cuts(TINY, predictor, Constraints(payload_bytes=1.0)), [donor]) == {}


@pytest.mark.parametrize("sensor_macs_per_s", [3e8, 3e9, 2e10])
@pytest.mark.parametrize("bandwidth", [2e5, 1e6])
def test_split_is_never_slower_than_the_better_end_by_more_than_its_cut(
    sensor_macs_per_s: float, bandwidth: float
) -> None:
    paper = system(sensor_macs_per_s, bandwidth)
    predictor = FormulaPredictor(TINY, paper)
    config = SearchConfig(population=24, generations=6)
    for seed in range(2):
        result = search(TINY, paper, predictor, FormulaEvaluator(TINY), replace(config, seed=seed))
        for point in result.front("sensor"):
            cuts = cut_elsewhere(TINY, point.architecture, "split")
            cost = min(predictor.figures(a)["total_us"] for a in cuts if a.reduce_ratio == 1.0) - point.total_us
            alike = [p for p in result.front("split") if p.accuracy >= point.accuracy - 0.03]
            assert alike
            assert min(p.total_us for p in alike) <= 1.05 * (point.total_us + max(cost, 0.0))
