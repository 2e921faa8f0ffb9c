"""The sentence, the table and the page's section on what a split is worth beside other ways."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from splitkit.project import Run
from splitkit.project.reporting import report_step
from splitkit.project.steps.conditions import search_digest
from splitkit.report.baselines import judge_baselines
from splitkit.report.baselines_table import baseline_bars, baselines_table
from splitkit.search.baselines import NAMES, Baselines, Row, save_baselines
from tests.report.runs import finished
from tests.report.test_page import read
from tests.search.baselines.ways import way

SPLIT = way("split", 200, 390)


def found(*rows: Row) -> Baselines:
    winner, verdict = judge_baselines(rows, 0.05)
    return Baselines(
        space="tiny", system="demo", data="digits", conditions={}, loss=0.01, rows=rows,
        left_out={"webp": "this Pillow was built without WebP"}, winner=winner, verdict=verdict,
    )  # fmt: skip


def test_a_split_that_is_faster_than_all_as_accurate_wins() -> None:
    winner, text = judge_baselines([SPLIT, way("jpeg", 500, 391), way("fixed_cut", 400, 392)], 0.05)
    assert winner == "split"
    assert text == (
        "The found split wins: 200 us at 97.5%; the fastest other way that is as accurate, fixed network, best cut, "
        "takes 2.00 times as long (400 us at 98.0%)."
    )


def test_a_baseline_that_is_faster_at_equal_accuracy_wins_by_name() -> None:
    rows = [SPLIT, way("jpeg", 100, 389), way("webp", 120, 391), way("fixed_cut", 400, 392)]
    winner, text = judge_baselines(rows, 0.05)
    assert winner == "jpeg"
    assert text.startswith(
        "All on aggregator, JPEG wins over the found split at equal accuracy: 100 us at 97.2% against"
    )
    assert "so do all on aggregator, WebP" in text


def test_a_faster_way_that_is_less_accurate_by_more_than_chance_does_not_win() -> None:
    winner, text = judge_baselines([SPLIT, way("random_search", 50, 340)], 0.0)
    assert winner == "split"
    assert text == "The found split wins: 200 us at 97.5%, and no other way is as accurate."


def test_within_what_predictions_are_off_by_it_is_a_tie() -> None:
    rows = [SPLIT, way("all_on_sensor", 190, 391)]
    winner, text = judge_baselines(rows, 0.05)
    assert winner is None
    assert text.startswith("A tie between the found split (200 us")
    assert judge_baselines(rows, 0.01)[0] == "all_on_sensor"


def test_a_time_that_lacks_a_part_may_lose_but_not_win() -> None:
    winner, text = judge_baselines([SPLIT, way("jpeg", 150, 391, missing="encoding")], 0.0)
    assert winner == "split"
    assert "All on aggregator, JPEG would be faster if its encoding took less than 50" in text
    assert "would be" not in judge_baselines([SPLIT, way("jpeg", 250, 391, missing="encoding")], 0.0)[1]


def test_what_is_slower_but_more_accurate_than_chance_is_named() -> None:
    _, text = judge_baselines([way("split", 200, 340), way("fixed_cut", 900, 395)], 0.0)
    assert "More accurate than it by more than could be chance: fixed network, best cut (900 us at 98.8%)." in text


@pytest.mark.parametrize("rows", [[], [SPLIT], [way("jpeg", 10, 390)]])
def test_with_nothing_to_compare_nobody_wins(rows: list[Row]) -> None:
    assert judge_baselines(rows, 0.0)[0] is None


def test_the_table_is_readable_at_80_columns_and_says_what_is_not_known() -> None:
    rows = [way(name, 12345.0, 390) for name in NAMES if name != "jpeg"]
    jpeg = way("jpeg", 9876.0, 391, missing="encoding", payload_bytes=448.0, payload_p99_bytes=464.0, sensor_us=0.0)
    written = io.StringIO()
    shown = found(*rows, replace(jpeg, test_accuracy=0.912))
    Console(file=written, width=80, markup=False).print(baselines_table(shown))
    lines = written.getvalue().splitlines()
    assert all(len(line) <= 80 and "…" not in line for line in lines)
    assert sum("12345" in line for line in lines) == len(rows)
    (row,) = [line for line in lines if ">= 4938" in line]
    assert "?" in row
    assert "91.2%" in row
    text = " ".join(" ".join(lines).split())
    assert "448 (99 %: 464)" in text or "448" in row
    assert "left out, all on aggregator, WebP: this Pillow was built without WebP" in text
    assert "measured x200 (emulated slower core)" in text


def test_bars_share_one_scale() -> None:
    bars = list(baseline_bars(found(SPLIT, way("fixed_cut", 400, 392))))
    assert [sum(width for _, width in bar["parts"]) for bar in bars] == [50, 100]
    assert [bar["wins"] for bar in bars] == [True, False]


def test_the_page_has_them_where_they_are_of_this_search(tmp_path: Path) -> None:
    project, _ = finished(tmp_path)
    run = Run.of(project)
    assert "Beside every other way" not in read(report_step(project)[0]).text
    kept = replace(found(SPLIT, way("fixed_cut", 400, 392)), conditions={"search": search_digest(run)})
    save_baselines(kept, run.baselines)
    text = read(report_step(project)[0]).text
    assert kept.verdict in text
    assert "fixed network, best cut" in text
    assert "this Pillow was built without WebP" in text
    save_baselines(replace(kept, conditions={"search": "another"}), run.baselines)
    assert "Beside every other way" not in read(report_step(project)[0]).text
