"""Commands that only look say what to type next, and what they say works."""

import json
import shlex

import pytest
from click.testing import CliRunner

from splitkit.cli.main import main


@pytest.mark.parametrize("command", ["profiles", "profiles list", "doctor"])
def test_the_next_command_is_one_that_works(command: str) -> None:
    result = CliRunner().invoke(main, shlex.split(command))
    assert result.exit_code == 0, result.output
    *_, last = result.stderr.splitlines()
    name, *words = shlex.split(last.removeprefix("next: splitkit "))
    assert last.startswith("next: splitkit ")
    assert CliRunner().invoke(main, [name, *words] if name == "profiles" else [name, "--help"]).exit_code == 0


def test_nothing_is_said_between_the_lines_of_json() -> None:
    for command in ("profiles list --json", "doctor --json"):
        json.loads(CliRunner().invoke(main, shlex.split(command)).stdout)
