"""`baselines.json`: whole, readable again, and refused in one line when it is not what it should be."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from splitkit.errors import ConfigError
from splitkit.search.baselines import NAMES, Baselines, Recipe, load_baselines, save_baselines
from splitkit.space.plain_cut import PlainCut
from tests.search.baselines.ways import TINY, way

FOUND = Baselines(
    space="tiny", system="demo", data="digits", conditions={"space": "a"}, loss=0.01,
    rows=(
        way("split", 100, 390),
        way("jpeg", 200, 389, missing="encoding", payload_p99_bytes=460.0, test_accuracy=0.9),
        way("fixed_cut", 300, 395, recipe=Recipe(TINY.smallest(0), "fixed", PlainCut(3, "uint8"))),
    ),
    left_out={"webp": "no WebP here"}, winner="split", verdict="The found split wins.",
)  # fmt: skip


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    save_baselines(FOUND, tmp_path / "baselines.json")
    assert load_baselines(tmp_path / "baselines.json") == FOUND


def test_the_file_says_its_version_and_every_rows_figures(tmp_path: Path) -> None:
    save_baselines(FOUND, tmp_path / "baselines.json")
    body = json.loads((tmp_path / "baselines.json").read_text())
    assert body["schema_version"] == 1
    assert set(body) == {
        "schema_version", "space", "system", "data", "conditions", "loss", "rows", "left_out", "winner", "verdict",
    }  # fmt: skip
    for row in body["rows"]:
        assert row["total_us"] == row["sensor_us"] + row["link_us"] + row["aggregator_us"]
        assert {"accuracy", "payload_bytes", "payload_p99_bytes", "obtained", "labels", "title", "recipe"} <= set(row)
    assert [row["placement"] for row in body["rows"]] == ["split", "split", "split"]


def test_rows_stand_in_the_tables_order_and_one_replaces_another_of_its_name() -> None:
    found = replace(FOUND, rows=())
    for name in reversed(NAMES):
        found = found.with_row(way(name, 100, 390))
    found = found.with_row(way("jpeg", 50, 390))
    assert tuple(row.name for row in found.rows) == NAMES
    assert found.row("jpeg") == way("jpeg", 50, 390)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"schema_version": 7}, "schema_version: 7"),
        ({"more": 1}, "more: unknown"),
        ({"loss": "much"}, "loss"),
        ({"winner": "nobody"}, "winner"),
        ({"rows": [{"name": "split"}]}, "recipe"),
        (
            {"rows": [way("split", 9, 9).to_json() | {"scores": {"images": 2, "wrong": [5], "log_likelihood": []}}]},
            "of 2",
        ),
    ],
)
def test_a_damaged_file_is_named_with_the_field(tmp_path: Path, change: dict[str, Any], named: str) -> None:
    file = tmp_path / "baselines.json"
    file.write_text(json.dumps(FOUND.to_json() | change))
    with pytest.raises(ConfigError, match=named) as caught:
        load_baselines(file)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_cut_off_is_not_json_and_a_missing_one_says_what_to_run(tmp_path: Path) -> None:
    file = tmp_path / "baselines.json"
    with pytest.raises(ConfigError, match="run `splitkit baselines` first"):
        load_baselines(file)
    file.write_text(json.dumps(FOUND.to_json())[:-9])
    with pytest.raises(ConfigError, match="not JSON"):
        load_baselines(file)


def test_equal_networks_are_trained_once_however_they_are_sent() -> None:
    whole = Recipe(TINY.smallest(0))
    assert whole.trained() == replace(whole, codec="JPEG", quality=30).trained()
    assert whole.trained() == replace(whole, cut=PlainCut(2, "uint8")).trained()
    assert whole.trained() != replace(whole, weights="fixed").trained()


@pytest.mark.parametrize(("boundary", "placement"), [(0, "aggregator"), (2, "split"), (5, "sensor")])
def test_a_plain_cut_says_where_the_network_runs(boundary: int, placement: str) -> None:
    assert Recipe(TINY.smallest(0), cut=PlainCut(boundary)).placement == placement
