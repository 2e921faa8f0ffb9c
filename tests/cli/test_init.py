"""`splitkit init` for a search space and for pictures of one's own."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from splitkit.cli.main import main
from splitkit.project import load_project
from splitkit.space import load_space
from splitkit.training.config import largest_macs


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["init", *arguments])


def test_the_template_is_a_space_as_it_stands(here: Path) -> None:
    assert run("--space-template", "mine.toml").exit_code == 0
    assert [p.name for p in here.iterdir()] == ["mine.toml"]
    result = run("--space", "mine.toml")
    assert result.exit_code == 0, result.output
    assert load_project().load_space() == load_space("mine.toml")
    assert "space mine" in result.stderr


def test_a_space_elsewhere_is_found_from_the_project(here: Path) -> None:
    folder = here / "my spaces"
    folder.mkdir()
    assert run("--space-template", "my spaces/mine.toml").exit_code == 0
    assert run("--space", str(folder / "mine.toml")).exit_code == 0
    assert load_project(here / "splitkit.toml").load_space().name == "mine"


def test_a_mistake_in_the_space_names_phase_and_field_and_nothing_is_written(here: Path) -> None:
    assert run("--space-template", "mine.toml").exit_code == 0
    text = Path("mine.toml").read_text()
    Path("mine.toml").write_text(text.replace("expands = [4, 6]", "expands = [6, 4]"))
    result = run("--space", "mine.toml")
    assert result.exit_code == 2
    assert result.stderr.startswith("splitkit: mine.toml: phases[1].expands: ")
    assert [p.name for p in here.iterdir()] == ["mine.toml"]


def test_a_file_that_is_there_is_kept(here: Path) -> None:
    Path("mine.toml").write_text("precious")
    assert run("--space-template", "mine.toml").exit_code == 2
    assert Path("mine.toml").read_text() == "precious"


def test_names_with_quotes_survive_in_the_project(here: Path) -> None:
    pictures(here / 'a "quoted" folder', 2)
    assert run("--data", 'a "quoted" folder').exit_code == 0
    assert load_project().data.source == 'a "quoted" folder'


def pictures(folder: Path, classes: int, mode: str = "RGB", side: int = 64, count: int = 8) -> Path:
    for label in range(classes):
        directory = folder / f"class{label}"
        directory.mkdir(parents=True)
        for i in range(count):
            shade = 20 * label + i
            colour = (shade, 100, 200) if mode == "RGB" else shade
            Image.new(mode, (side + 3 * i, side), colour).save(directory / f"{i}.png")
    return folder


@pytest.mark.parametrize(
    ("classes", "mode", "side", "preset", "size"),
    [
        (6, "RGB", 100, "cifar", 96),
        (3, "RGB", 480, "cifar", 128),
        (2, "RGB", 20, "cifar", 32),
        (6, "L", 33, "tiny", 32),
        (4, "I;16", 64, "tiny", 64),
        (4, "1", 200, "cifar", 128),
    ],
)
def test_a_space_is_written_that_fits_the_pictures(
    here: Path, classes: int, mode: str, side: int, preset: str, size: int
) -> None:
    pictures(here / "Bolts & nuts", classes, mode, side)
    result = run("--data", "Bolts & nuts")
    assert result.exit_code == 0, result.output
    assert result.stderr.strip().splitlines()[-1] == "next: splitkit train"
    space, base = load_project().load_space(), load_space(preset)
    assert (space.head.classes, space.input.channels, space.input.size) == (classes, 3 if mode == "RGB" else 1, size)
    assert space.input.resolutions[-1] == size
    assert space.name == "bolts-nuts"
    assert space.phases == base.phases
    assert largest_macs(space) <= 1.25 * largest_macs(base)
    assert f"{classes} classes: class0, class1" in result.stderr


def test_pictures_that_a_preset_fits_need_no_space_of_their_own(here: Path) -> None:
    pictures(here / "ten", 10, "RGB", 32)
    result = run("--data", "ten")
    assert result.exit_code == 0, result.output
    assert load_project().space == "cifar"
    assert not (here / "space.toml").exists()


def test_a_preset_that_is_named_is_changed_to_the_classes_and_kept_in_size(here: Path) -> None:
    pictures(here / "six", 6)
    assert run("--data", "six", "--space", "mobile").exit_code == 0
    space = load_project().load_space()
    assert (space.head.classes, space.input.size) == (6, 288)
    assert space.phases == load_space("mobile").phases


def test_a_space_of_ones_own_that_does_not_fit_is_refused_by_its_field(here: Path) -> None:
    pictures(here / "six", 6)
    assert run("--space-template", "mine.toml").exit_code == 0
    result = run("--data", "six", "--space", "mine.toml")
    assert result.exit_code == 2
    assert "mine.toml: head.classes: 10, but six has 6 classes" in result.stderr
    assert not (here / "splitkit.toml").exists()


@pytest.mark.parametrize("name", ["space.toml", "splitkit.toml"])
def test_neither_file_is_written_if_one_of_them_is_there(here: Path, name: str) -> None:
    pictures(here / "six", 6)
    (here / name).write_text("precious")
    result = run("--data", "six")
    assert result.exit_code == 2
    assert f"{name} exists" in result.stderr
    assert (here / name).read_text() == "precious"
    assert sorted(path.name for path in here.iterdir()) == ["six", name]
    assert run("--data", "six", "--force").exit_code == 0


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda root: None, "no such folder"),
        (lambda root: root.mkdir(), "holds no class folders (expected train/<class>/* and val/<class>/*"),
        (lambda root: pictures(root, 1), "one class, 'class0': two are needed"),
        (lambda root: pictures(root, 3, count=2), "class0: 2 pictures"),
        (lambda root: pictures(root / "test", 3), "holds test/ but no train/"),
        (lambda root: pictures(root / "set/train", 3), "data/set)"),
    ],
)
def test_a_folder_that_cannot_be_used_is_told_what_is_expected(
    here: Path, make: Callable[[Path], object], said: str
) -> None:
    make(here / "data")
    result = run("--data", "data")
    assert result.exit_code == 1
    assert said in result.stderr.strip().splitlines()[-1]
    assert not (here / "splitkit.toml").exists()


def test_what_is_left_out_and_small_classes_are_named(here: Path) -> None:
    pictures(here / "six", 6)
    (here / "six/@eaDir").mkdir()
    (here / "six/class1/Thumbs.db").touch()
    result = run("--data", "six")
    assert "left out: six/@eaDir: hidden, or kept by a system (0 files)" in result.stderr
    assert "left out: six/class1/Thumbs.db" in result.stderr
    assert "few pictures to learn from (below 20): class0" in result.stderr


@pytest.mark.parametrize("name", ["Bilder \U0001f642", "caf\u00e9 'x' \\ y", "[b]bold[/b] :smile:"])
def test_folders_may_be_called_anything_that_can_be_read(here: Path, name: str) -> None:
    pictures(here / name, 2)
    result = run("--data", name)
    assert result.exit_code == 0, result.output
    assert load_project().data.source == name
    assert name in result.stderr


def test_a_folder_whose_name_is_no_text_is_refused(here: Path) -> None:
    name = os.fsdecode(b"\xff")
    pictures(here / name, 2)
    result = run("--data", name)
    assert result.exit_code == 2
    assert "--data: '\\udcff': letters that a configuration cannot hold" in result.stderr
    assert not (here / "splitkit.toml").exists()
