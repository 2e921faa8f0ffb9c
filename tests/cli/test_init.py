"""`splitkit init` for a search space of one's own."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from splitkit.cli.main import main
from splitkit.project import load_project
from splitkit.space import load_space


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
    assert run("--data", 'a "quoted" folder').exit_code == 0
    assert load_project().data.source == 'a "quoted" folder'
