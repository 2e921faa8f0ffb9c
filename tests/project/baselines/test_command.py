"""`splitkit baselines` as it is typed."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from splitkit.cli.main import main
from splitkit.errors import ConfigError
from splitkit.project import Project, Run
from splitkit.project.steps import baselines_step
from splitkit.search.baselines import Baselines


def command(*arguments: str) -> Any:
    return CliRunner().invoke(main, ["baselines", *arguments])


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
