"""`splitkit init`."""

from pathlib import Path

import click

from splitkit.cli.console import stderr
from splitkit.errors import ConfigError


@click.command("init")
@click.option("--space", default="tiny", show_default=True, help="Search space: a preset or a .toml file.")
@click.option("--system", default="demo", show_default=True, help="System: a profile or a .toml file.")
@click.option("--data", default="digits", show_default=True, help="'digits' or an image directory.")
@click.option("--run", default="first", show_default=True, help="Name of the run.")
@click.option("--force", is_flag=True, help="Overwrite an existing splitkit.toml.")
def command(space: str, system: str, data: str, run: str, force: bool) -> None:
    """Write a commented splitkit.toml in this directory.

    \b
    Example:  splitkit init --space cifar --data ~/cifar10
    """
    from splitkit.profiles import load_system
    from splitkit.project.config import FILE, TEMPLATE, load_project
    from splitkit.space import load_space

    load_space(space)
    load_system(system)
    path = Path(FILE)
    if path.exists() and not force:
        raise ConfigError(f"{path} exists", "--force overwrites it")
    text = TEMPLATE.format(space=space, system=system, data=data, run=run)
    partial = path.with_name(f".{path.name}.tmp")
    partial.write_text(text, encoding="utf-8")
    try:
        load_project(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    stderr.print(f"wrote {path}: next, splitkit train")
