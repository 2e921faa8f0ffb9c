"""The last line of a command: what to type next."""

import shlex
from importlib import import_module

import click

from splitkit.cli.console import stderr

PROJECT = ("config", "space", "system", "data", "run", "seed")
"""Options that say which project a command works on: they hold for the next one too."""


def say_next(command: str, *arguments: str, carry: bool = True) -> None:
    """Print `next: splitkit COMMAND ...`; to `carry` is to add the present command's project options that it takes."""
    given = click.get_current_context().params if carry else {}
    taken = [param.name for param in import_module(f"splitkit.cli.{command}").command.params]
    flags: list[str] = []
    for name in PROJECT:
        if name in taken and given.get(name) is not None and not _said(name, str(given[name]), arguments):
            flags += [f"--{name}", str(given[name])]
    line = shlex.join(["splitkit", command, *arguments, *flags])
    stderr.print(f"next: {line}", markup=False, highlight=False, emoji=False, soft_wrap=True)


def _said(name: str, value: str, arguments: tuple[str, ...]) -> bool:
    """Whether the arguments hold it already: the name of the run, as `report` and `export --split` take it."""
    return f"--{name}" in arguments or (name == "run" and value in arguments)
