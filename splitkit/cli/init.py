"""`splitkit init`."""

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from splitkit.cli.console import stderr
from splitkit.cli.next_step import say_next
from splitkit.cli.options import run_name
from splitkit.errors import ConfigError, StorageError, reason
from splitkit.scratch import replacing

if TYPE_CHECKING:
    from splitkit.project.fitting import FittedSpace
    from splitkit.space import SearchSpace


@click.command("init")
@click.option(
    "--space", help="Search space: a preset or a .toml file. By default one that fits the data; 'tiny' for digits."
)
@click.option("--system", default="demo", show_default=True, help="System: a profile or a .toml file.")
@click.option(
    "--data", default="digits", show_default=True, help="'digits', 'shapes3d', or a folder of pictures or 3D models."
)
@click.option("--run", default="first", callback=run_name, show_default=True, help="Name of the run.")
@click.option("--force", is_flag=True, help="Overwrite existing files.")
@click.option(
    "--space-template",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a commented search space to copy and change into this file, and nothing else.",
)
def command(space: str | None, system: str, data: str, run: str, force: bool, space_template: Path | None) -> None:
    """Write a commented splitkit.toml in this directory, and a space.toml for pictures that no preset fits.

    A folder of pictures is looked at: it holds train/<class>/ and val/<class>/, or <class>/ alone, of which a fifth is
    then held back as the test set. 3D models, and pictures of several views of a thing, are in <class>/train/ and
    <class>/test/.

    \b
    Example:  splitkit init --data ~/images
              splitkit init --space cifar --data ~/cifar10
              splitkit init --space-template mine.toml
              splitkit init --space mine.toml --data ~/images
    """
    from splitkit.embedded import EMBEDDED
    from splitkit.profiles import load_system
    from splitkit.project.config import FILE, TEMPLATE, load_project
    from splitkit.space import load_space
    from splitkit.space.search_space import space_template as template

    if space_template is not None:
        _write(space_template, template(), force)
        stderr.print(f"wrote {space_template}: change it to your needs", markup=False)
        say_next("init", "--space", str(space_template), carry=False)
        return
    load_system(system)
    fitted = None if data in EMBEDDED else _fitted(Path(data).expanduser(), space)
    space = fitted.name if fitted else space or "tiny"
    chosen = fitted.space() if fitted else load_space(space)
    quoted = {name: _quoted(name, text) for name, text in {"space": space, "system": system, "data": data}.items()}
    views = fitted.views if fitted else VIEWS.get(data, 1)
    text = TEMPLATE.format(run=run, **quoted)
    files = {Path(FILE): text if views == 1 else text.replace("# views = 2  ", f"views = {views:<4}")}
    if fitted and fitted.text is not None:
        files = {Path(fitted.name): fitted.text} | files
    _write_all(files, force, {Path(FILE): load_project})
    stderr.print(_summary(chosen))
    stderr.print(f"wrote {' and '.join(str(path) for path in files)}", markup=False)
    say_next("train", carry=False)


VIEWS = {"shapes3d": 4}
"""Sensors to begin with, of embedded data that wants several."""


def _fitted(root: Path, space: str | None) -> "FittedSpace":
    """A space for the pictures in a folder; what was seen there is printed."""
    from splitkit.project.fitting import fit_space
    from splitkit.project.steps import name_left_out

    say = partial(stderr.print, markup=False, emoji=False, highlight=False, soft_wrap=True)
    fitted = fit_space(root, space)
    for line in fitted.seen.lines():
        say(line)
    name_left_out(fitted.seen.left_out, say)
    say("training pictures are not mirrored: where left and right may be swapped, mirror = true in [data] helps")
    return fitted


def _quoted(name: str, text: str) -> str:
    """A string as TOML has it."""
    if not text.isprintable():
        raise ConfigError(f"--{name}: {text!a}: letters that a configuration cannot hold", "rename it")
    return json.dumps(text, ensure_ascii=False)


def _write_all(files: Mapping[Path, str], force: bool, checks: Mapping[Path, Callable[[Path], object]]) -> None:
    """Write all of them, or none: a file that is there already stops the first one too."""
    for path in files:
        if path.exists() and not force:
            raise ConfigError(f"{path} exists", "--force overwrites it")
    made: list[Path] = []
    try:
        for path, text in files.items():
            new = not path.exists()
            _write(path, text, force, checks.get(path, lambda partial: None))
            made += [path] if new else []
    except BaseException:
        for path in made:
            path.unlink(missing_ok=True)
        raise


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
