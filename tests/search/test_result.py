"""Points and pareto.json: derived figures are right, files round-trip, bad files are named."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from splitkit.errors import ConfigError
from splitkit.search import Score, SearchConfig, SearchResult, load_result, save_result, search
from splitkit.search.candidate import Candidate
from splitkit.search.point import describe_point, energy_uj
from splitkit.space import describe
from tests.search.hardware import TINY, FormulaEvaluator, FormulaPredictor, system

PAPER = system()


@pytest.fixture(scope="module")
def result() -> SearchResult:
    config = SearchConfig(population=8, generations=3)
    return search(TINY, PAPER, FormulaPredictor(TINY, PAPER), FormulaEvaluator(TINY), config)


def test_throughput_and_busy_fractions_follow_from_the_stages() -> None:
    architecture = TINY.largest(3)
    figures = dict(FormulaPredictor(TINY, PAPER).figures(architecture))
    figures |= {"sensor_us": 400.0, "link_us": 500.0, "aggregator_us": 100.0, "total_us": 1000.0}
    point = describe_point(TINY, PAPER, Candidate(architecture, Score(0.9, -0.1), figures))
    assert point.throughput_per_s == pytest.approx(2000.0)
    pipelined, single = point.busy_pipelined, point.busy_single_shot
    assert (pipelined.sensor, pipelined.link, pipelined.aggregator) == pytest.approx((0.8, 1.0, 0.2))
    assert (single.sensor, single.link, single.aggregator) == pytest.approx((0.4, 0.5, 0.1))


def test_energy_counts_every_view_and_needs_every_figure() -> None:
    network = describe(TINY, TINY.largest(3))
    assert energy_uj(network, PAPER) is None
    priced = PAPER.model_copy(
        update={
            "sensor": PAPER.sensor.model_copy(update={"pj_per_mac": 2.0, "pj_per_byte": 0.0}),
            "aggregator": PAPER.aggregator.model_copy(update={"pj_per_mac": 1.0, "pj_per_byte": 0.0}),
            "link": PAPER.link.model_copy(update={"pj_per_byte": 100.0}),
        }
    )
    one = 2 * network.macs("sensor") + 100 * network.payload_bytes
    assert energy_uj(network, priced) == pytest.approx((one + network.macs("aggregator")) / 1e6)
    assert energy_uj(replace(network, views=3), priced) == pytest.approx((3 * one + network.macs("aggregator")) / 1e6)


def test_memory_traffic_costs_energy_on_its_own_side() -> None:
    priced = PAPER.model_copy(
        update={
            "sensor": PAPER.sensor.model_copy(update={"pj_per_mac": 0.0, "pj_per_byte": 1.0}),
            "aggregator": PAPER.aggregator.model_copy(update={"pj_per_mac": 0.0, "pj_per_byte": 0.0}),
            "link": PAPER.link.model_copy(update={"pj_per_byte": 0.0}),
        }
    )
    early, late = (energy_uj(describe(TINY, TINY.largest(cut)), priced) for cut in (1, 4))
    assert early is not None
    assert late is not None
    assert late > early > 4e-6 * 16 * 16 * 16
    assert energy_uj(describe(TINY, TINY.largest(0)), priced) == 0.0


def test_a_result_survives_its_file(tmp_path: Path, result: SearchResult) -> None:
    path = tmp_path / "runs" / "x" / "pareto.json"
    save_result(result, path)
    assert load_result(path) == result
    assert [p.name for p in path.parent.iterdir()] == ["pareto.json"]


def test_points_are_labelled(result: SearchResult) -> None:
    assert result.labels == {"sensor": "analytical", "link": "model", "aggregator": "analytical"}


def broken(body: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {name: value for name, value in {**body, **changes}.items() if value is not None}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"schema_version": 1}, "schema_version: 1"),
        ({"points": None}, "points: is missing"),
        ({"merged": [10_000]}, "merged: an index is outside"),
        ({"fronts": {"split": [-1]}}, "split: an index is outside"),
        ({"points": [{"accuracy": 1.0}]}, "architecture: is missing"),
        ({"constraints": {"speed": 1}}, "speed"),
    ],
)
def test_a_bad_result_file_is_named_with_the_field(
    tmp_path: Path, result: SearchResult, changes: dict[str, Any], says: str
) -> None:
    path = tmp_path / "pareto.json"
    path.write_text(json.dumps(broken(result.to_json(), **changes)))
    with pytest.raises(ConfigError) as error:
        load_result(path)
    assert str(path) in str(error.value)
    assert says in str(error.value)


def test_missing_and_torn_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.json: cannot be read"):
        load_result(tmp_path / "none.json")
    (tmp_path / "torn.json").write_text('{"schema_version": 1, "poi')
    with pytest.raises(ConfigError, match=r"torn\.json: not JSON"):
        load_result(tmp_path / "torn.json")
