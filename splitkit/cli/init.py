"""`splitkit init`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from splitkit.cli.console import stderr
from splitkit.cli.options import run_name
from splitkit.errors import ConfigError, StorageError, reason
from splitkit.scratch import replacing

if TYPE_CHECKING:
    from splitkit.space import SearchSpace


@click.command("init")
@click.option("--space", default="tiny", show_default=True, help="Search space: a preset or a .toml file.")
@click.option("--system", default="demo", show_default=True, help="System: a profile or a .toml file.")
@click.option("--data", default="digits", show_default=True, help="'digits' or an image directory.")
@click.option("--run", default="first", callback=run_name, show_default=True, help="Name of the run.")
@click.option("--force", is_flag=True, help="Overwrite an existing file.")
@click.option(
    "--space-template",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a commented search space to copy and change into this file, and nothing else.",
)
def command(space: str, system: str, data: str, run: str, force: bool, space_template: Path | None) -> None:
    """Write a commented splitkit.toml in this directory, for a preset or for a search space of your own.

    \b
    Example:  splitkit init --space cifar --data ~/cifar10
              splitkit init --space-template mine.toml
              splitkit init --space mine.toml --data ~/images
    """
    from splitkit.profiles import load_system
    from splitkit.project.config import FILE, TEMPLATE, load_project
    from splitkit.space import load_space
    from splitkit.space.search_space import space_template as template

    if space_template is not None:
        _write(space_template, template(), force)
        stderr.print(f"wrote {space_template}: change it, then splitkit init --space {space_template}")
        return
    chosen = load_space(space)
    load_system(system)
    quoted = {name: json.dumps(text) for name, text in {"space": space, "system": system, "data": data}.items()}
    _write(Path(FILE), TEMPLATE.format(run=run, **quoted), force, load_project)
    stderr.print(_summary(chosen))
    stderr.print(f"wrote {FILE}: next, splitkit train")


def _write(path: Path, text: str, force: bool, check: Callable[[Path], object] = lambda path: None) -> None:
    """Write a file, whole and checked or not at all."""
    if path.exists() and not force:
        raise ConfigError(f"{path} exists", "--force overwrites it")
    try:
        with replacing(path) as partial:
            partial.write_text(text, encoding="utf-8")
            check(partial)
    except OSError as error:
        raise StorageError(f"{path}: cannot be written: {reason(error)}") from error


def _summary(space: "SearchSpace") -> str:
    """How large a space is, in one line."""
    from splitkit.space import describe, space_size

    ends = [describe(space, architecture) for architecture in (space.smallest(0), space.largest(0))]
    macs = [network.macs("aggregator") / 1e6 for network in ends]
    units = [len(network.aggregator) for network in ends]
    return (
        f"space {space.name}: {space_size(space):.2g} architectures, {macs[0]:.3g} to {macs[1]:.3g} million MACs, "
        f"{units[0]} to {units[1]} units"
    )
