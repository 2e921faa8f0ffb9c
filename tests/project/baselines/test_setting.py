"""Choosing among candidates, within the run's limits."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

import pytest

from splitkit.project import Project, Run
from splitkit.project.baselines.cuts import best_plain_cut, fixed_bottleneck_row
from splitkit.project.baselines.found import found_row
from splitkit.project.baselines.searches import random_row
from splitkit.project.baselines.setting import LeftOutError, Setting, first_good
from splitkit.project.steps import baselines as step
from splitkit.search import Constraints, load_result
from splitkit.search.baselines import Baselines, Recipe

ACCURACIES = {"a": 0.5, "b": 0.8, "c": 0.9, "d": 0.95}


@pytest.fixture
def setting(compared: tuple[Project, Baselines]) -> Iterator[Setting]:
    """Of the run whose rows are all there."""
    project, found = compared
    with ExitStack() as stack:
        yield step._setting(project, load_result(Run.of(project).pareto), found.loss, lambda text: None, stack)


def limited(setting: Setting, **limits: float) -> Setting:
    """The same with other limits."""
    return replace(setting, result=replace(setting.result, constraints=Constraints(**limits)))


def test_the_first_that_is_accurate_enough_is_taken_and_none_after_it_is_tried() -> None:
    tried: list[str] = []

    def accuracy(name: str) -> float:
        tried.append(name)
        return ACCURACIES[name]

    assert first_good("abcd", accuracy, 0.8) == ("b", 2, True)
    assert tried == ["a", "b"]


def test_where_none_is_accurate_enough_the_most_accurate_is_taken_and_that_is_told() -> None:
    assert first_good("dcab", ACCURACIES.__getitem__, 0.99) == ("d", 4, False)


def test_a_cut_beyond_a_limit_of_the_run_is_not_taken(setting: Setting) -> None:
    whole = Recipe(setting.networks.fixed, "fixed")
    free = best_plain_cut(limited(setting), "fixed_cut", whole, "it")
    bound = best_plain_cut(limited(setting, payload_bytes=64.0), "fixed_cut", whole, "it")
    assert bound.payload_bytes == 40
    assert bound.recipe.placement == "sensor"
    assert bound.total_us >= free.total_us
    on_aggregator = best_plain_cut(limited(setting, sensor_macs=1.0), "fixed_cut", whole, "it")
    assert on_aggregator.recipe.placement == "aggregator"
    assert free.total_us == min(free.total_us, on_aggregator.total_us)


def test_a_cut_that_loses_too_much_gives_way_to_the_next(setting: Setting) -> None:
    whole = Recipe(setting.networks.fixed, "fixed")
    rows = {loss: best_plain_cut(replace(setting, loss=loss), "fixed_cut", whole, "it") for loss in (-0.5, 1.0)}
    assert "all lose more than is allowed" in rows[-0.5].obtained
    assert ": the fastest of" in rows[1.0].obtained


def test_with_nothing_within_the_limits_a_way_is_left_out(setting: Setting) -> None:
    tight = limited(setting, total_us=1e-3)
    with pytest.raises(LeftOutError, match="none of the 16 bottlenecks"):
        fixed_bottleneck_row(tight)
    with pytest.raises(LeftOutError, match="none of 0 draws"):
        random_row(tight)
    with pytest.raises(LeftOutError, match="cuts of the network is within the limits"):
        best_plain_cut(tight, "fixed_cut", Recipe(setting.networks.fixed, "fixed"), "it")


def test_a_system_that_the_search_did_not_find_has_no_row(setting: Setting) -> None:
    chosen = {name: i for name, i in setting.result.chosen.items() if name != "sensor"}
    without = replace(setting, result=replace(setting.result, chosen=chosen))
    with pytest.raises(LeftOutError, match="nothing of it within the limits"):
        found_row(without, "all_on_sensor")
