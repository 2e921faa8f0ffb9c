"""Options that several commands share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

CONFIG = click.option(
    "--config", type=click.Path(path_type=Path), help="The project's file; splitkit.toml in this directory by default."
)
SPACE = click.option("--space", help="Search space: a preset or a .toml file.")
SYSTEM = click.option("--system", help="System: a profile or a .toml file.")
DATA = click.option("--data", help="'digits', or a directory with train/<class>/ and val/<class>/.")
RUN = click.option("--run", help="Name of the run: results go to runs/NAME/.")
SEED = click.option("--seed", type=click.IntRange(min=0), help="Seed of everything that is drawn.")
JSON = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")


def project_options(command: F) -> F:
    """`--config` and the flags that override what stands in it."""
    for option in (SEED, RUN, DATA, SYSTEM, SPACE, CONFIG):
        command = option(command)
    return command
