"""The loop through its commands, as a user types them, on a budget of seconds."""

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from splitkit.cli.main import main

SETTINGS = {
    "population = 48": "population = 6",
    "generations = 20": "generations = 2",
    "feedback_rounds = 3": "feedback_rounds = 1",
    "measured_per_round = 4": "measured_per_round = 3",
    "finalists = 6": "finalists = 3",
    "# finalist_steps = 50": "finalist_steps = 2",
    "# steps = 600": "steps = 2",
    "# fine_tune_steps = 150": "fine_tune_steps = 2",
}


def run(*arguments: str) -> str:
    result = CliRunner().invoke(main, list(arguments))
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a trained supernet, a small latency table and a search behind it."""
    directory = tmp_path_factory.mktemp("project")
    before = Path.cwd()
    os.chdir(directory)
    try:
        run("init")
        file = directory / "splitkit.toml"
        text = file.read_text()
        for old, new in SETTINGS.items():
            assert old in text
            text = text.replace(old, new)
        file.write_text(text)
        run("train")
        too_early = CliRunner().invoke(main, ["search"])  # must not be in the way of the search below
        assert too_early.exit_code == 1, too_early.output
        assert "splitkit bench" in too_early.output
        run("bench", "--target", "sensor", "--budget", "4s")
        run("search")
    finally:
        os.chdir(before)
    return directory


@pytest.fixture
def inside(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(project)
    return project


def test_search_reports_all_three_systems_and_what_feedback_found(inside: Path) -> None:
    body = json.loads((inside / "runs/first/pareto.json").read_text())
    assert set(body["fronts"]) == {"sensor", "aggregator", "split"}
    assert all(body["fronts"].values())
    assert body["feedback"][0]["measured"] >= 3
    measured = [p for p in body["points"] if p["measured_total_us"] is not None]
    assert measured, "no point of a front was measured: nothing would be compared below"
    for point in measured:
        assert point["total_us"] == pytest.approx(point["measured_total_us"], rel=0.25)
    assert "emulated" in body["labels"]["sensor"]


def test_every_systems_choice_was_fine_tuned_and_scored_image_by_image(inside: Path) -> None:
    body = json.loads((inside / "runs/first/pareto.json").read_text())
    tuned = {f["point"]: f for f in body["finalists"]}
    assert set(body["chosen"]) == {"sensor", "aggregator", "split"}
    assert all(tuned[index]["steps"] >= 2 for index in body["chosen"].values())
    journal = [json.loads(line) for line in (inside / "runs/first/search.jsonl").read_text().splitlines()]
    trials = [trial for entry in journal for trial in entry.get("trial", {}).values()]
    assert len(trials) >= len(tuned)
    for trial in trials:
        assert len(trial["log_likelihood"]) == trial["images"] == body["scored_on"]


def test_replay_repeats_the_search_exactly_and_asks_nothing(inside: Path) -> None:
    found = json.loads((inside / "runs/first/pareto.json").read_text())
    journal = (inside / "runs/first/search.jsonl").read_bytes()
    assert json.loads(run("search", "--replay", "--json")) == found
    assert (inside / "runs/first/search.jsonl").read_bytes() == journal


def test_report_of_a_measured_search_shows_what_was_measured_and_what_the_predictions_rest_on(inside: Path) -> None:
    files = json.loads(run("report", "first", "--json"))
    page = (inside / files["page"]).read_text()
    assert {Path(file).stem for file in files["pictures"]} == {
        "architectures", "coverage", "front", "latency", "prediction",
    }  # fmt: skip
    assert "emulated slower core" in page
    assert "of the predicted time rests on measured kernels" in page
    assert "Nothing here was measured" not in page
    assert "Not everything could be shown" not in page


def test_exported_bundle_runs_over_its_link(inside: Path) -> None:
    manifest = json.loads(run("export", "--split", "first", "-o", "bundle", "--json"))
    assert {record["runtime"].split()[0] for record in manifest["verification"]} == {"onnxruntime", "tvm"}
    measured = json.loads(run("bench", "bundle", "--frames", "10", "--json"))
    assert measured["top1_agreement"] == 1.0
    stages = measured["sensor_us"] + measured["link_us"] + measured["aggregator_us"]
    assert measured["total_us"] == pytest.approx(stages, rel=0.2)


def test_a_bundle_in_integers_says_what_they_cost_and_runs(inside: Path) -> None:
    result = CliRunner().invoke(main, ["export", "--split", "first", "-o", "int8", "--precision", "int8"])
    assert result.exit_code == 0, result.output
    assert "int8: " in result.stderr
    assert "95 % interval" in result.stderr
    manifest = json.loads((inside / "int8/manifest.json").read_text())
    halves = [manifest[side] for side in ("sensor", "aggregator") if manifest[side]]
    assert all(half["precision"] == "int8" for half in halves)
    predicted = manifest["predicted"]
    assert predicted["test_accuracy"] == pytest.approx(predicted["float32_test_accuracy"], abs=0.1)
    assert "total_us" not in predicted  # kernels of integers were not measured
    measured = json.loads(run("bench", "int8", "--frames", "10", "--json"))
    assert measured["top1_agreement"] >= 0.9  # of a network that is hardly trained, whose classes are nearly alike


def test_a_precision_that_there_is_not_is_refused(inside: Path) -> None:
    for text in ("int4", "camera=int8"):
        result = CliRunner().invoke(main, ["export", "--split", "first", "-o", "nothing", "--precision", text])
        assert result.exit_code == 2
        assert "[sensor|aggregator=]float32|int8 is expected" in " ".join(result.stderr.split())
    assert not (inside / "nothing").exists()


def test_a_point_by_its_index_and_an_index_that_is_not_there(inside: Path) -> None:
    points = json.loads((inside / "runs/first/pareto.json").read_text())["points"]
    index = next(i for i, p in enumerate(points) if p["placement"] == "sensor")
    manifest = json.loads(run("export", "--split", f"first:{index}", "-o", "sensor", "--json"))
    assert manifest["origin"]["architecture"] == points[index]["architecture"]
    assert manifest["aggregator"] is None
    result = CliRunner().invoke(main, ["export", "--split", "first:999", "-o", "nothing"])
    assert result.exit_code == 2
    assert "point 999" in result.stderr
    assert not (inside / "nothing").exists()


def test_a_changed_byte_in_a_bundle_is_named(inside: Path) -> None:
    run("export", "--split", "first", "-o", "broken")
    file = inside / "broken" / "sensor.onnx"
    if not file.exists():
        file = inside / "broken" / "aggregator.onnx"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    result = CliRunner().invoke(main, ["bench", "broken"])
    assert result.exit_code == 1
    assert file.name in result.stderr
    assert "Traceback" not in result.output
