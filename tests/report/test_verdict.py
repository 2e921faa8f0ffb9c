"""The sentence at the end: who wins and why, ties called ties, and what makes figures doubtful."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from splitkit.report.doubts import doubts
from splitkit.report.tables import demo_table
from splitkit.report.verdict import Contender, Measured, Verdict, on_test_images, verdict, verdict_of
from splitkit.scores import Interval
from tests.report.runs import finished

SENSOR = Contender(496.0, 60.0, 0.0, 0.99)
AGGREGATOR = Contender(0.0, 1044.0, 2.0, 0.99)
SPLIT = Contender(250.0, 44.0, 5.0, 0.99)


def test_the_winner_is_named_with_its_reasons() -> None:
    found = verdict({"sensor": SENSOR, "aggregator": AGGREGATOR, "split": SPLIT}, 0.05)
    assert found.winner == "split"
    assert found.text == (
        "Split wins: 299 us predicted for one frame, against 556 us all on sensor and 1046 us all on aggregator; "
        "than all on sensor it takes 246 us less on the sensor, 16 us less over the link."
    )


@pytest.mark.parametrize("winner", ["sensor", "aggregator", "split"])
def test_any_system_can_win(winner: str) -> None:
    slow = {"sensor": SENSOR, "aggregator": AGGREGATOR, "split": SPLIT}
    found = verdict(slow | {winner: Contender(10.0, 20.0, 1.0, 0.99)}, 0.05)
    assert found.winner == winner


def test_a_difference_within_the_predictions_own_error_is_a_tie() -> None:
    near = replace(SPLIT, sensor_us=480.0)
    found = verdict({"sensor": SENSOR, "aggregator": AGGREGATOR, "split": near}, 0.05)
    assert found.winner is None
    assert found.text.startswith("A tie between split (529 us) and all on sensor (556 us): they differ by 5.1%")
    assert "off by up to 5.0%; all on aggregator takes 1046 us" in found.text
    assert verdict({"sensor": SENSOR, "split": near}, 0.02).winner == "split"


def timed(contender: Contender, us: float, spread_us: float = 0.0) -> Contender:
    return replace(contender, measured=Measured(us, spread_us))


def test_systems_that_were_both_measured_are_compared_by_that_however_wrong_predictions_were() -> None:
    split, sensor = Contender(641.0, 50.0, 10.0, 0.99), Contender(1028.0, 60.0, 0.0, 0.99)
    predicted = verdict({"sensor": sensor, "split": split}, 0.27)
    assert predicted.winner is None
    assert "A tie between split (701 us) and all on sensor (1088 us)" in predicted.text
    found = verdict({"sensor": timed(sensor, 1114.0, 20.0), "split": timed(split, 745.0, 20.0)}, 0.27)
    assert found.winner == "split"
    assert found.text == (
        "Split wins: 745 us measured (701 us predicted) for one frame, against 1114 us measured (1088 us predicted) "
        "all on sensor; than all on sensor it is predicted to take 387 us less on the sensor."
    )
    half = verdict({"sensor": sensor, "split": timed(split, 745.0)}, 0.27)
    assert half.winner is None


def test_measurements_decide_against_predictions() -> None:
    found = verdict({"sensor": timed(SENSOR, 300.0), "split": timed(SPLIT, 420.0)}, 0.05)
    assert found.winner == "sensor"
    assert found.text.endswith("420 us measured (299 us predicted) split; predictions had split ahead.")


@pytest.mark.parametrize(("us", "spread_us"), [(420.0, 0.0), (500.0, 60.0)])
def test_measurements_that_chance_could_exchange_are_a_tie(us: float, spread_us: float) -> None:
    found = verdict({"sensor": timed(SENSOR, 400.0), "split": timed(SPLIT, us, spread_us)}, 0.0)
    assert found.winner is None
    assert "and measurements of equal ones may differ by" in found.text
    assert verdict({"sensor": timed(SENSOR, 400.0), "split": timed(SPLIT, 500.0)}, 0.9).winner == "sensor"


def test_a_measurements_spread_is_that_of_its_frames_but_for_a_few_that_were_held_up() -> None:
    frames = np.random.default_rng(0).normal(700.0, 30.0, 400)
    plain, held_up = Measured.of(frames), Measured.of([*frames, *[9000.0] * 8])
    assert plain.us == pytest.approx(700.0, abs=5.0)
    assert plain.spread_us == pytest.approx(30.0, rel=0.15)
    assert held_up.spread_us == pytest.approx(plain.spread_us, rel=0.1)
    assert Measured.of([500.0] * 10).deviation_us == pytest.approx(0.02 * 500.0)


def test_a_less_accurate_system_cannot_win() -> None:
    fast = replace(SENSOR, sensor_us=1.0, accuracy=0.6, accurate_enough=False)
    found = verdict({"sensor": fast, "aggregator": AGGREGATOR, "split": SPLIT}, 0.05)
    assert found.winner == "split"
    assert found.text.endswith("All on sensor reaches only 60.0%.")
    alone = verdict({"sensor": fast, "split": SPLIT}, 0.05)
    assert alone.winner == "split"
    assert "no other is as accurate" in alone.text


def test_one_system_or_none_is_no_comparison() -> None:
    assert verdict({}, 0.05).text == "Nothing was found within the limits."
    only = verdict({"aggregator": AGGREGATOR}, 0.05)
    assert only.winner is None
    assert "The only system with a network within the limits is all on aggregator" in only.text


def test_the_error_of_a_search_is_that_of_its_last_round_of_feedback(tmp_path: Path) -> None:
    _, measured = finished(tmp_path, feedback_rounds=1)
    assert measured.feedback
    points = tuple(replace(point, measured_total_us=None) for point in measured.points)
    result = replace(measured, points=points)
    sure = replace(result, feedback=(*result.feedback[:-1], replace(result.feedback[-1], max_error=0.0)))
    unsure = replace(result, feedback=(*result.feedback[:-1], replace(result.feedback[-1], max_error=0.9)))
    assert verdict_of(sure).winner is not None
    assert verdict_of(unsure).winner is None
    assert verdict_of(replace(unsure, points=measured.points)).winner is not None


def test_a_slice_too_small_to_rank_is_warned_about(tmp_path: Path) -> None:
    _, result = finished(tmp_path, feedback_rounds=0)
    assert doubts(replace(result, scored_on=287), 10) == []
    assert doubts(replace(result, scored_on=None), 10) == []
    (line,) = doubts(replace(result, scored_on=12), 10)
    assert "12 images, one of them is 8.3%" in line
    assert "search_images" in line


def test_points_no_better_than_guessing_are_warned_about(tmp_path: Path) -> None:
    _, result = finished(tmp_path, feedback_rounds=0)
    points = (replace(result.points[0], accuracy=0.1), *result.points[1:])
    (line,) = doubts(replace(result, points=points), 10)
    assert line.startswith(f"1 of {len(points)} points are no better than guessing one of 10 classes (10.0%): 0;")


def test_the_demos_table_has_the_interval_of_the_difference() -> None:
    system = {
        "test_accuracy": 0.99, "predicted_total_us": 300.0, "measured_total_us": 310.0, "sensor_us": 250.0,
        "link_us": 50.0, "aggregator_us": 10.0, "payload_bytes": 16, "peak_sensor_bytes": 100,
        "labels": {"sensor": "measured"},
    }  # fmt: skip
    compared = {
        "against": "all_on_sensor", "predicted_ratio": 0.5, "test_accuracy_difference": -0.0028, "low_95": -0.011,
        "high_95": 0.005, "test_images": 360,
    }  # fmt: skip
    summary = {"space": "tiny", "system": "demo", "systems": {"split": system}, "comparison": compared}
    caption = str(demo_table(summary).caption)
    assert "split less all on sensor: -0.28% (95 % interval -1.10% to +0.50%, the same 360 images)" in caption


def test_a_split_that_the_test_set_shows_to_be_less_accurate_has_not_won() -> None:
    found = Verdict("split", "Split wins: 274 us predicted for one frame, against 404 us all on sensor.")
    worse, alike = Interval(-0.017, -0.031, -0.002), Interval(-0.003, -0.014, 0.008)
    assert on_test_images(found, alike, "sensor") == found
    said = on_test_images(found, worse, "sensor")
    assert said.winner is None
    assert said.text.startswith("Split is faster but less accurate, so it does not win: by 1.7% on the test images")
    assert "interval 0.2% to 3.1%" in said.text
    assert "274 us predicted" in said.text
    other = Verdict("sensor", "All on sensor wins: 1 us.")
    assert on_test_images(other, worse, "sensor") == other
