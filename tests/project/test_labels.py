"""Labels belong to what was trained on them: a class that changes between two steps stops the second by name."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image

from splitkit.cli.main import main
from splitkit.project import load_project
from splitkit.project.steps import load_data
from splitkit.training import load_supernet
from tests.report.runs import SPACE

SETTINGS = """
run = "r"
space = "small.toml"
system = "hmd"
[data]
source = "pictures"
[train]
steps = 2
batch = 4
fine_tune_steps = 0
[search]
population = 4
generations = 1
feedback_rounds = 0
"""
CLASSES = ("ant", "bee", "caf\u00e9")


def typed(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def fill(folder: Path, shade: int) -> None:
    folder.mkdir(parents=True)
    for i in range(5):
        Image.new("L", (32, 32), shade + i).save(folder / f"{i}.png")


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project on pictures of three classes, trained and searched."""
    directory = tmp_path_factory.mktemp("labels") / "project"
    for part in ("train", "val"):
        for label, name in enumerate(CLASSES):
            fill(directory / "pictures" / part / name, 80 * label)
    (directory / "small.toml").write_text(SPACE.replace("classes = 10", "classes = 3"))
    (directory / "splitkit.toml").write_text(SETTINGS)
    before = Path.cwd()
    os.chdir(directory)
    try:
        for command in ("train", "search"):
            result = typed(command)
            assert result.exit_code == 0, result.output
    finally:
        os.chdir(before)
    return directory


@pytest.fixture
def project(searched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "project"
    shutil.copytree(searched, directory)
    monkeypatch.chdir(directory)
    return directory


def rename(project: Path, old: str, new: str) -> None:
    for part in ("train", "val"):
        (project / "pictures" / part / old).rename(project / "pictures" / part / new)


def add(project: Path) -> None:
    for part in ("train", "val"):
        fill(project / "pictures" / part / "dog", 200)


def remove(project: Path) -> None:
    for part in ("train", "val"):
        shutil.rmtree(project / "pictures" / part / "bee")


def test_the_checkpoint_holds_the_names(project: Path) -> None:
    assert load_supernet(project / "runs/r/supernet.pt").classes == CLASSES


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda project: rename(project, "bee", "wasp"), "'bee' only then; 'wasp' only now"),
        (
            lambda project: rename(project, "bee", "Bee"),
            "'bee' then and 'Bee' now: they differ in capital letters alone",
        ),
        (lambda project: rename(project, "bee", "bee "), "'bee' then and 'bee ' now: they differ in spaces at an end"),
        (
            lambda project: rename(project, "caf\u00e9", "cafe\u0301"),
            r"'caf\xe9' then and 'cafe\u0301' now: the accents are coded differently",
        ),
        (add, "'dog' only now"),
        (remove, "'bee' only then"),
    ],
)
@pytest.mark.parametrize(
    "command", [("train", "--resume"), ("search",), ("export", "--split", "r", "-o", "bundle")], ids=lambda c: c[0]
)
def test_a_class_renamed_added_or_removed_between_steps_is_named(
    project: Path, change: Callable[[Path], None], named: str, command: tuple[str, ...]
) -> None:
    change(project)
    result = typed(*command)
    assert result.exit_code == 1, result.output
    line = result.stderr.strip().splitlines()[-1]
    assert "not the classes that were trained on" in line
    assert named in line
    assert not (project / "bundle").exists()


@pytest.mark.parametrize(
    "command",
    [("train", "--resume"), ("search",), ("report", "r"), ("export", "--split", "r", "-o", "bundle")],
    ids=lambda c: c[0],
)
def test_a_space_that_was_edited_since_is_refused_by_the_field_that_changed(
    project: Path, command: tuple[str, ...]
) -> None:
    file = project / "small.toml"
    file.write_text(file.read_text().replace("kernels = [3, 5]", "kernels = [3]"))
    result = typed(*command)
    assert result.exit_code != 0
    assert "phases[0].kernels: [3, 5] then, [3] now" in result.stderr.strip().splitlines()[-1]
    assert not (project / "bundle").exists()


def test_a_search_of_another_supernet_is_not_exported(project: Path) -> None:
    (project / "runs/r/supernet.pt").unlink()
    assert typed("train", "--seed", "1").exit_code == 0
    result = typed("export", "--split", "r", "-o", "bundle")
    assert result.exit_code == 2
    assert "the supernet is not the one that was searched" in result.stderr


def test_flags_paths_are_relative_to_where_one_stands_and_the_files_to_the_file(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = project.parent / "elsewhere"
    shutil.copytree(project / "pictures", elsewhere / "others")
    shutil.copy(project / "small.toml", elsewhere / "mine.toml")
    monkeypatch.chdir(elsewhere)
    config = ("--config", "../project/splitkit.toml")
    assert typed("train", *config, "--resume").exit_code == 0
    given = typed("train", *config, "--run", "s", "--data", "others", "--space", "mine.toml")
    assert given.exit_code == 0, given.output
    assert (project / "runs/s/supernet.pt").exists()
    assert given.stderr.strip().splitlines()[-1] == (
        "next: splitkit bench --target sensor --config ../project/splitkit.toml --space mine.toml --data others --run s"
    )
    wrong = typed("train", *config, "--run", "t", "--data", "pictures")
    assert wrong.exit_code == 1
    assert "elsewhere/pictures: no such folder" in wrong.stderr


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("mirror = 1.5", "data.mirror"),
        ("shift = -1", "data.shift"),
        ("shift = 40", "data.shift: 40 pixels, of images of 32"),
        ("full_scale = 0", "data.full_scale"),
        ("mirrored = true", "data.mirrored: unknown key"),
    ],
)
def test_a_mistake_in_a_switch_is_named(project: Path, line: str, said: str) -> None:
    file = project / "splitkit.toml"
    file.write_text(file.read_text().replace('source = "pictures"', f'source = "pictures"\n{line}'))
    result = typed("train", "--run", "s")
    assert result.exit_code in (1, 2)
    assert said in result.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize(("line", "mirrored"), [("", False), ("mirror = false\n", False), ("mirror = true\n", True)])
def test_training_pictures_are_mirrored_where_the_project_says_so_and_nowhere_else(
    project: Path, line: str, mirrored: bool
) -> None:
    file = project / "splitkit.toml"
    switches = f'source = "pictures"\n{line}shift = 0'
    file.write_text(file.read_text().replace('source = "pictures"', switches))
    settings = load_project()
    data = load_data(settings, settings.load_space())
    images = torch.arange(32, dtype=torch.uint8).expand(64, 1, 1, 32, 32).contiguous()
    changed = data.augmentation(images, torch.Generator().manual_seed(0))
    turned = (changed == images.flip(-1)).flatten(1).all(1)
    assert (turned | (changed == images).flatten(1).all(1)).all()
    assert turned.any() == mirrored


def test_search_and_report_warn_of_a_slice_too_small_to_rank(project: Path) -> None:
    searched = typed("search", "--replay")
    assert searched.exit_code == 0, searched.output
    assert "mind: the search slice has 3 images" in searched.stderr
    assert typed("report", "r").exit_code == 0
    page = (project / "runs/r/report/report.html").read_text(encoding="utf-8")
    assert "Mind: the search slice has 3 images" in page


def test_digits_have_a_variation_of_their_own(project: Path) -> None:
    file = project / "splitkit.toml"
    file.write_text(file.read_text().replace('source = "pictures"', 'source = "digits"\nmirror = true'))
    result = typed("train", "--run", "s", "--space", "tiny")
    assert result.exit_code == 2
    assert "mirror: for folders of pictures" in result.stderr
