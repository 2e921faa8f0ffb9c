"""What is printed is what was meant: no markup, no colours in files, valid JSON, a line now and then."""

import io
import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.progress import BarColumn, TextColumn

import splitkit.progress
from splitkit.cli.console import Stderr, print_json
from splitkit.cli.main import main
from splitkit.progress import Bars

HOSTILE = "[b]dir [red] :smile: [link=x] \\[i]"


def console() -> tuple[Stderr, io.StringIO]:
    made, written = Stderr(), io.StringIO()
    made.file = written
    return made, written


def test_paths_are_never_parsed_as_markup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, written = console()
    made.print(f"wrote {HOSTILE}")
    with made.status(HOSTILE) as status:
        status.update(HOSTILE)
    with Bars(TextColumn("{task.description}"), console=made) as bars:
        bars.add_task(HOSTILE)
    assert written.getvalue().count(HOSTILE) == 3

    (tmp_path / HOSTILE).mkdir()
    monkeypatch.chdir(tmp_path / HOSTILE)
    assert CliRunner().invoke(main, ["init", "--space-template", f"{HOSTILE}.toml"]).exit_code == 0
    result = CliRunner().invoke(main, ["init", "--space", f"{HOSTILE}.toml"])
    assert result.exit_code == 0, result.output
    result = CliRunner().invoke(main, ["train", "--data", HOSTILE])
    assert HOSTILE in result.stderr


def test_no_line_is_broken_within_a_path() -> None:
    made, written = console()
    path = "/".join(["directory"] * 40)
    made.print(f"wrote {path}")
    assert path in written.getvalue()


def test_without_a_terminal_progress_is_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    made, written = console()
    now = [0.0]
    monkeypatch.setattr(splitkit.progress.time, "monotonic", lambda: now[0])
    with Bars(TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed} done"), console=made) as bars:
        task = bars.add_task("measuring", total=100)
        for done in range(100):
            now[0] += 1.0
            bars.update(task, completed=done + 1)
    lines = written.getvalue().splitlines()
    assert lines[0] == "measuring"
    assert lines[1] == "measuring 10 done"
    assert lines[-1] == "measuring 100 done"
    assert len(lines) == 11
    assert not re.search("[\x1b\r]", written.getvalue())


def test_json_is_valid_whatever_was_measured(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"a": float("nan"), "b": [float("inf"), 1.5], "c": ("x", None), "path": "\udcff"})
    text = capsys.readouterr().out
    text.encode("ascii")

    def refuse(word: str) -> None:
        raise AssertionError(word)

    assert json.loads(text, parse_constant=refuse) == {"a": None, "b": [None, 1.5], "c": ["x", None], "path": "\udcff"}
