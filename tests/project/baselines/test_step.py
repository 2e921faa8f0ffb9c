"""Rows are kept, not mixed, and made once; the test set is opened once."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from splitkit.data import Dataset, SampleSource
from splitkit.errors import ConfigError
from splitkit.project import Project, Run, load_project
from splitkit.project.steps import baselines as step
from splitkit.project.steps import baselines_step, load_data
from splitkit.search.baselines import Baselines, Name, Row, load_baselines
from splitkit.supernet import SubNetwork
from splitkit.training import FineTuning
from tests.project.baselines.conftest import refuse


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
    said: list[str] = []
    baselines_step(project, ("jpeg", "all_on_sensor"), test=True, say=said.append)
    assert [text for text in said if text.startswith("testing")] == ["testing: all on sensor"]
    tested = load_baselines(Run.of(project).baselines)
    monkeypatch.setattr(Dataset, "test", property(refuse))
    assert baselines_step(project, ("jpeg",), test=True) == tested
    with pytest.raises(AssertionError, match="test set was opened"):
        baselines_step(project, ("webp",), test=True)


def test_no_network_learns_from_the_images_that_judge_it(copy: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    learned: list[int] = []

    class Watched(FineTuning):
        def __init__(self, network: SubNetwork, samples: SampleSource, *more: Any) -> None:
            learned.append(len(samples))
            super().__init__(network, samples, *more)

    monkeypatch.setattr("splitkit.training.FineTuning", Watched)
    shutil.rmtree(Run.of(copy).fine_tuned("").parent, ignore_errors=True)
    baselines_step(copy, ("fixed_bottleneck",))
    data = load_data(copy, copy.load_space())
    assert len(learned) >= 3  # the found split, the fixed network, the bottleneck in it
    assert set(learned) == {len(data.all_training) - len(data.search)}


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


def test_forgetting_a_run_takes_them_away(copy: Project) -> None:
    baselines_step(copy, ("all_on_sensor",))
    run = Run.of(copy)
    assert run.baselines.exists()
    assert list(run.baseline("").parent.glob("*.pt"))
    run.forget()
    assert not [file for file in run.directory.iterdir() if file.name.startswith("baselines")]
