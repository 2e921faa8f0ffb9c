"""`splitkit baselines` with real parts: digits, a supernet trained for two steps, an analytical headset."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from splitkit.cli.main import main
from splitkit.data import Dataset
from splitkit.errors import ConfigError
from splitkit.partition.codec import CodecTimes
from splitkit.project import Project, Run, load_project
from splitkit.project.baselines import pictures
from splitkit.project.steps import baselines as step
from splitkit.project.steps import baselines_step
from splitkit.search import load_result
from splitkit.search.baselines import NAMES, Baselines, Name, Recipe, Row, load_baselines
from splitkit.space.plain_cut import PlainCut
from tests.report.runs import SPACE

SETTINGS = """
run = "r"
space = "small.toml"
system = "hmd"
[data]
search_images = 80
[train]
steps = 12
batch = 16
fine_tune_steps = 4
[search]
population = 6
generations = 2
feedback_rounds = 1
measured_per_round = 2
finalists = 1
finalist_steps = 1
"""


def refuse(*_: Any) -> Any:
    raise AssertionError("the test set was opened")


def command(*arguments: str) -> Any:
    return CliRunner().invoke(main, ["baselines", *arguments])


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a finished search."""
    directory = tmp_path_factory.mktemp("baselines")
    (directory / "small.toml").write_text(SPACE)
    (directory / "splitkit.toml").write_text(SETTINGS)
    before = Path.cwd()
    os.chdir(directory)
    try:
        for name in ("train", "search"):
            result = CliRunner().invoke(main, [name])
            assert result.exit_code == 0, result.output
    finally:
        os.chdir(before)
    return directory


@pytest.fixture(scope="module")
def compared(searched: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Baselines]:
    """The same with every row, the test set never opened."""
    directory = shutil.copytree(searched, tmp_path_factory.mktemp("compared") / "project")
    project = load_project(directory / "splitkit.toml")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Dataset, "test", property(refuse))
        return project, baselines_step(project)


@pytest.fixture
def copy(searched: Path, tmp_path: Path) -> Project:
    """A finished search of the test's own."""
    return load_project(shutil.copytree(searched, tmp_path / "project") / "splitkit.toml")


def row_of(compared: tuple[Project, Baselines], name: Name) -> Row:
    row = compared[1].row(name)
    assert row is not None, compared[1].left_out
    return row


def test_every_way_has_a_row_with_every_figure(compared: tuple[Project, Baselines]) -> None:
    project, found = compared
    assert tuple(row.name for row in found.rows) == NAMES
    assert found.left_out == {}
    for row in found.rows:
        assert len(row.images.correct) == 80
        assert row.accuracy == row.images.correct.mean()
        assert row.total_us > 0
        assert row.payload_bytes > 0
        assert row.obtained
        assert row.labels["link"] == "model"
        assert row.test_accuracy is None
    assert found.verdict
    assert load_baselines(Run.of(project).baselines) == found


def test_the_runs_own_rows_have_the_searchs_figures(compared: tuple[Project, Baselines]) -> None:
    best = load_result(Run.of(compared[0]).pareto).best
    names: dict[Name, str] = {"split": "split", "all_on_sensor": "sensor", "all_on_aggregator": "aggregator"}
    for name, placement in names.items():
        row, point = row_of(compared, name), best[placement]
        assert row.recipe == Recipe(point.architecture)
        assert (row.sensor_us, row.link_us, row.aggregator_us) == (point.sensor_us, point.link_us, point.aggregator_us)
        assert row.payload_bytes == point.payload_bytes
        assert row.energy_uj == pytest.approx(point.energy_uj)


@pytest.mark.parametrize("name", ["jpeg", "webp"])
def test_pictures_are_sent_as_real_files_that_lose_no_more_than_allowed(
    compared: tuple[Project, Baselines], name: Name
) -> None:
    row, raw = row_of(compared, name), row_of(compared, "all_on_aggregator")
    assert row.accuracy >= raw.accuracy - 0.01 - 1e-9
    assert row.recipe.trained() == raw.recipe.trained()
    assert row.recipe.quality in pictures.QUALITIES
    assert row.payload_p99_bytes is not None
    assert 30 < row.payload_bytes <= row.payload_p99_bytes
    assert row.missing == "encoding and decoding"
    assert "nobody has timed" in row.obtained
    assert (row.labels["sensor"], row.labels["aggregator"]) == ("encoding not timed", "decoding not timed")
    assert (row.sensor_us, row.aggregator_us) == (0.0, raw.aggregator_us)
    link = compared[0].load_system().link
    assert row.link_us == pytest.approx(link.latency_us(row.payload_bytes))


def test_where_the_sensor_is_known_encoding_counts(copy: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "time_codec", lambda *_: CodecTimes(1000.0, 10.0))
    found = baselines_step(copy, ("all_on_aggregator", "jpeg"))
    row, raw = found.row("jpeg"), found.row("all_on_aggregator")
    assert row is not None
    assert raw is not None
    assert (row.sensor_us, row.aggregator_us, row.missing) == (1000.0, raw.aggregator_us + 10, "")
    assert row.total_us == row.sensor_us + row.link_us + row.aggregator_us
    assert row.labels == raw.labels
    assert "encoding and decoding timed in Pillow here" in row.obtained


@pytest.mark.parametrize(("slow_us", "effort"), [(1e6, 0), (0.0, 4)])
def test_the_effort_counts_with_which_a_frame_takes_less(
    copy: Project, monkeypatch: pytest.MonkeyPatch, slow_us: float, effort: int
) -> None:
    monkeypatch.setattr(pictures, "time_codec", lambda codec, *_: CodecTimes(1.0 + codec.effort * slow_us, 1.0))
    row = baselines_step(copy, ("webp",)).row("webp")
    assert row is not None
    assert row.recipe.effort == effort
    assert f", effort {effort}" in row.obtained


def test_the_fixed_network_is_cut_where_that_is_fastest(compared: tuple[Project, Baselines]) -> None:
    project, _ = compared
    row = row_of(compared, "fixed_cut")
    assert row.recipe.weights == "fixed"
    assert row.recipe.architecture.space == "mobilenetv2-like"
    assert row.recipe.cut is not None
    assert row.considered == 2 + (row.recipe.architecture.units - 1) * len(project.load_space().link.dtypes)


def test_the_bottleneck_is_put_into_the_fixed_network(compared: tuple[Project, Baselines]) -> None:
    plain, row = row_of(compared, "fixed_cut"), row_of(compared, "fixed_bottleneck")
    assert row.recipe.weights == "injected"
    assert row.recipe.placement == "split"
    assert row.recipe.architecture.phases == plain.recipe.architecture.phases
    assert "fine-tuned" in row.obtained


def test_the_other_searches_have_as_many_scores(compared: tuple[Project, Baselines]) -> None:
    project, _ = compared
    scored = sum(load_result(Run.of(project).pareto).evaluated.values())
    row, split = row_of(compared, "random_search"), row_of(compared, "split")
    assert row.considered == scored
    unaware = row_of(compared, "unaware_search")
    assert unaware.considered <= scored + 6
    assert unaware.recipe.cut is not None
    budget = load_result(Run.of(project).pareto).best["split"]
    assert f"{(budget.sensor_macs + budget.aggregator_macs) / 1e6:.3g} MMAC" in unaware.obtained
    assert split.recipe.cut is None


def test_several_views_are_compared_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "small.toml").write_text(SPACE)
    (tmp_path / "splitkit.toml").write_text(SETTINGS.replace("[data]", "views = 2\n[data]", 1))
    monkeypatch.chdir(tmp_path)
    for name in ("train", "search"):
        assert CliRunner().invoke(main, [name]).exit_code == 0
    found = baselines_step(load_project(), ("jpeg", "fixed_cut", "fixed_bottleneck", "unaware_search"))
    cut, jpeg = found.row("fixed_cut"), found.row("jpeg")
    assert cut is not None
    assert jpeg is not None
    assert cut.recipe.architecture.fusion == "max"
    assert cut.recipe.cut is not None
    assert cut.recipe.cut.boundary <= cut.recipe.architecture.fuse
    assert jpeg.payload_bytes < 1024, "of one view"
    assert found.row("unaware_search") is not None
    assert set(found.left_out) == {"fixed_bottleneck"}
    assert "joined behind the last block" in found.left_out["fixed_bottleneck"]


def test_a_second_call_makes_nothing_again(
    compared: tuple[Project, Baselines], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step, "_setting", refuse)
    assert baselines_step(compared[0]) == compared[1]


def test_the_test_set_is_opened_for_frozen_choices_and_once(
    compared: tuple[Project, Baselines], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = compared[0].model_copy(update={"root": tmp_path / "project"})
    shutil.copytree(compared[0].root, project.root)
    tested = baselines_step(project, ("jpeg", "fixed_cut"), test=True)
    assert {row.name for row in tested.rows if row.test_accuracy is not None} == {"split", "jpeg", "fixed_cut"}
    assert tuple(replace(row, test_accuracy=None) for row in tested.rows) == compared[1].rows
    monkeypatch.setattr(Dataset, "test", property(refuse))
    assert baselines_step(project, ("jpeg",), test=True) == tested
    with pytest.raises(AssertionError, match="test set was opened"):
        baselines_step(project, ("webp",), test=True)


def test_stopped_it_goes_on_with_the_next_row_and_what_was_trained(
    copy: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, made = step._make, list[Name]()

    def stop_at(last: Name) -> Callable[..., Row]:
        def stopping(setting: Any, name: Name) -> Row:
            made.append(name)
            row = make(setting, name)
            if name == last:
                raise KeyboardInterrupt  # its networks are trained by then, its row is not kept
            return row

        return stopping

    wanted: tuple[Name, ...] = ("split", "all_on_sensor", "fixed_cut")
    monkeypatch.setattr(step, "_make", stop_at("fixed_cut"))
    with pytest.raises(KeyboardInterrupt):
        baselines_step(copy, wanted)
    assert [row.name for row in load_baselines(Run.of(copy).baselines).rows] == ["split", "all_on_sensor"]
    monkeypatch.setattr(step, "_make", stop_at("webp"))
    made.clear()
    said: list[str] = []
    found = baselines_step(copy, wanted, say=said.append)
    assert made == ["fixed_cut"]
    assert not [text for text in said if text.startswith(("training", "fine-tuning"))]
    assert [row.name for row in found.rows] == list(wanted)


def test_only_the_rows_that_are_asked_for_are_made_and_the_split(copy: Project) -> None:
    assert [row.name for row in baselines_step(copy, ("webp",)).rows] == ["split", "webp"]


def test_a_way_that_is_not_there_is_left_out_and_said(copy: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "is_available", lambda codec: codec != "WEBP")
    said: list[str] = []
    found = baselines_step(copy, ("webp",), say=said.append)
    assert found.left_out == {"webp": "this Pillow was built without WebP"}
    assert "left out: all on aggregator, WebP: this Pillow was built without WebP" in said


@pytest.mark.parametrize(("setting", "field"), [("steps = 12", "training"), ("search_images = 80", "data")])
def test_rows_made_under_other_conditions_are_not_mixed_with_new_ones(copy: Project, setting: str, field: str) -> None:
    baselines_step(copy, ("all_on_sensor",))
    file = copy.root / "splitkit.toml"
    file.write_text(file.read_text().replace(setting, setting + "0"))
    with pytest.raises(ConfigError, match=f"baselines.json: {field}: its rows were made with .*delete it") as caught:
        baselines_step(load_project(file), ("webp",))
    assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match=r"loss: its rows were made with '0\.01', now it is '0\.02'"):
        baselines_step(copy, ("webp",), loss=0.02)


def test_the_command_prints_a_table_and_json(
    compared: tuple[Project, Baselines], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(compared[0].root)
    result = command("--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == json.loads(Run.of(compared[0]).baselines.read_text())
    assert "fixed network" in result.stderr
    assert " ".join(compared[1].verdict.split()) in " ".join(result.stderr.split())
    assert result.stderr.splitlines()[-1] == "next: splitkit report r"


def test_without_a_run_or_a_search_one_line_says_what_is_missing(
    searched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for arguments in ((), ("--run", "nothing")):
        result = command(*arguments)
        assert result.exit_code == 2
        assert result.stderr.count("\n") == 1, result.stderr
    shutil.copytree(searched, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    (tmp_path / "project/runs/r/pareto.json").unlink()
    result = command()
    assert result.exit_code == 2
    assert result.stderr.splitlines() == [
        "splitkit: runs/r/pareto.json: cannot be read: No such file or directory (run `splitkit search` first)"
    ]


def test_an_unknown_row_is_named_beside_those_there_are(copy: Project) -> None:
    result = command("--rows", "jpeg,gif")
    assert result.exit_code == 2
    assert "'gif': known are split, all_on_sensor" in " ".join(result.stderr.replace("│", " ").split())
    with pytest.raises(ConfigError, match="'gif' is not known"):
        baselines_step(copy, ("gif",))  # type: ignore[arg-type]


def test_forgetting_a_run_takes_them_away(copy: Project) -> None:
    baselines_step(copy, ("all_on_sensor",))
    run = Run.of(copy)
    assert run.baselines.exists()
    assert list(run.baseline("").parent.glob("*.pt"))
    run.forget()
    assert not [file for file in run.directory.iterdir() if file.name.startswith("baselines")]


def test_a_plain_cut_over_uint8_is_scored_with_what_the_codes_lose(compared: tuple[Project, Baselines]) -> None:
    from contextlib import ExitStack

    with ExitStack() as stack:
        project, found = compared
        result = load_result(Run.of(project).pareto)
        setting = step._setting(project, result, found.loss, lambda text: None, stack)
        whole = Recipe(row_of(compared, "fixed_cut").recipe.architecture, "fixed")
        exact, sent = setting.scores(whole), setting.scores(replace(whole, cut=PlainCut(2, "uint8")))
        assert not np.array_equal(exact.log_likelihood, sent.log_likelihood)
        assert np.array_equal(
            exact.log_likelihood, setting.scores(replace(whole, cut=PlainCut(2, "float32"))).log_likelihood
        )
