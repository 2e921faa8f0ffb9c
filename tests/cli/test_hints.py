"""Every command that splitkit tells somebody to type is one that it has."""

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from splitkit.cli.main import COMMANDS, main

ROOT = Path(__file__).parents[2]
FOLDERS = ("splitkit", "exporters", "profiles")
COMMAND = re.compile(rf"(?<![\w./-])splitkit ((?:{'|'.join(COMMANDS)})\b[^`\n,;:()&|]*)")
PLACE = "PLACE"
"""Stands where a message has a value of its own."""


def texts() -> Iterator[tuple[str, str]]:
    """Where it stands, and what: every text in the sources, with `PLACE` for what is filled in."""
    for file in sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            where = f"{file.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.JoinedStr):
                yield where, "".join(str(v.value) if isinstance(v, ast.Constant) else PLACE for v in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield where, node.value


def commands() -> Iterator[tuple[str, str]]:
    """Where it stands, and a command line."""
    for where, text in texts():
        for match in COMMAND.finditer(text):
            yield where, match[1].strip().rstrip(".")


FOUND = sorted({f"{where} | {command}" for where, command in commands()})


def words_of(command: str) -> list[str]:
    """The words of a command up to where prose goes on."""
    words = shlex.split(command.replace("'", " "))
    kept = words[:1]
    for word in words[1:]:
        if (
            word.isalpha()
            and word.islower()
            and word not in ("show", "list", "first", "bundle", "sensor", "aggregator")
        ):
            break
        kept.append(word)
    return kept


@pytest.mark.parametrize("hint", FOUND)
def test_a_hint_names_a_command_and_options_that_are_there(hint: str) -> None:
    name, *words = words_of(hint.split(" | ")[1])
    command: click.Command | None = main.get_command(click.Context(main), name)
    assert command is not None
    if isinstance(command, click.Group) and words:
        command = command.get_command(click.Context(command), words.pop(0))
        assert command is not None
    options = {o: p for p in command.params if isinstance(p, click.Option) for o in (*p.opts, *p.secondary_opts)}
    while words:
        word = words.pop(0)
        if not word.startswith("-"):
            continue
        option, equals, value = word.partition("=")
        assert option in options, f"splitkit {name} has no {option}"
        parameter = options[option]
        if parameter.is_flag or equals or not words:
            continue
        value = words.pop(0)
        if isinstance(parameter.type, click.Choice):
            assert value in parameter.type.choices, f"splitkit {name} {option} {value}"


def test_there_are_hints_to_check() -> None:
    assert len(FOUND) > 30
