"""Every way, made of real parts."""

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from splitkit.cli.main import main
from splitkit.partition.codec import CodecTimes
from splitkit.project import Project, Run, load_project
from splitkit.project.baselines import pictures
from splitkit.project.baselines.networks import Networks
from splitkit.project.config import TrainSection
from splitkit.project.steps import baselines as step
from splitkit.project.steps import baselines_step
from splitkit.search import load_result
from splitkit.search.baselines import NAMES, Baselines, Name, Recipe, Row, load_baselines
from splitkit.space.plain_cut import PlainCut
from splitkit.training import default_fine_tune_config, load_supernet
from tests.project.baselines.conftest import SETTINGS
from tests.report.runs import SPACE


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
    assert not np.array_equal(row.images.log_likelihood, raw.images.log_likelihood), "what was decoded is scored"
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


def test_the_fixed_network_trains_for_as_long_as_the_supernet_and_fine_tuning(
    compared: tuple[Project, Baselines],
) -> None:
    project, _ = compared
    config = load_supernet(Run.of(project).supernet).config
    passes = 12 * 16 * (config.random_subnetworks + 2 / config.sandwich_every)
    tuned = 4 * default_fine_tune_config(project.load_space()).batch
    assert f"for {round((passes + tuned) / 16)} steps of 16 images" in row_of(compared, "fixed_cut").obtained
    timed = project.model_copy(update={"train": TrainSection(budget=90, fine_tune_budget=30)})
    with ExitStack() as stack:
        result = load_result(Run.of(project).pareto)
        setting = step._setting(project, result, 0.01, lambda text: None, stack)
        networks = Networks(timed, setting.networks.supernet, setting.data, setting.say)
    assert networks.fixed_training == "for 120 s"


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


def test_a_way_that_is_not_there_is_left_out_and_said(copy: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "is_available", lambda codec: codec != "WEBP")
    said: list[str] = []
    found = baselines_step(copy, ("webp",), say=said.append)
    assert found.left_out == {"webp": "this Pillow was built without WebP"}
    assert "left out: all on aggregator, WebP: this Pillow was built without WebP" in said


def test_a_plain_cut_over_uint8_is_scored_with_what_the_codes_lose(compared: tuple[Project, Baselines]) -> None:
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
