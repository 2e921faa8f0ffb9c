"""`splitkit init`."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from splitkit.cli.console import stderr
from splitkit.cli.next_step import say_next
from splitkit.errors import ConfigError, DataError

if TYPE_CHECKING:
    from splitkit.space import SearchSpace

SPACE_FILE = "space.toml"


@click.command("init")
@click.option(
    "--space", help="Search space: a preset or a .toml file. By default one that fits the data; 'tiny' for digits."
)
@click.option("--system", default="demo", show_default=True, help="System: a profile or a .toml file.")
@click.option("--data", default="digits", show_default=True, help="'digits' or a folder of pictures.")
@click.option("--run", default="first", show_default=True, help="Name of the run.")
@click.option("--force", is_flag=True, help="Overwrite existing files.")
@click.option(
    "--space-template",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a commented search space to copy and change into this file, and nothing else.",
)
def command(space: str | None, system: str, data: str, run: str, force: bool, space_template: Path | None) -> None:
    """Write a commented splitkit.toml in this directory, and a space.toml for pictures that no preset fits.

    A folder of pictures is looked at: it holds train/<class>/ and val/<class>/, or <class>/ alone, of which a fifth is
    then held back as the test set.

    \b
    Example:  splitkit init --data ~/images
              splitkit init --space cifar --data ~/cifar10
              splitkit init --space-template mine.toml
              splitkit init --space mine.toml --data ~/images
    """
    from splitkit.profiles import load_system
    from splitkit.project.config import FILE, TEMPLATE, load_project
    from splitkit.space import load_space
    from splitkit.space.search_space import parse_space
    from splitkit.space.search_space import space_template as template

    if space_template is not None:
        _write(space_template, template(), force)
        stderr.print(f"wrote {space_template}: change it to your needs", markup=False)
        say_next("init", "--space", str(space_template), carry=False)
        return
    load_system(system)
    fitted = None if data == "digits" else _fitted(Path(data).expanduser(), space)
    space = (space or "tiny") if fitted is None else fitted.name
    chosen = load_space(space) if fitted is None or fitted.text is None else parse_space(fitted.text, fitted.name)
    quoted = {name: json.dumps(text) for name, text in {"space": space, "system": system, "data": data}.items()}
    files = {Path(FILE): TEMPLATE.format(run=run, **quoted)}
    if fitted is not None and fitted.text is not None:
        files = {Path(fitted.name): fitted.text} | files
    _write_all(files, force, {Path(FILE): load_project})
    stderr.print(_summary(chosen))
    stderr.print(f"wrote {' and '.join(str(path) for path in files)}", markup=False)
    say_next("train", carry=False)


@dataclass(frozen=True)
class _Fitted:
    """A space for a folder: the name of a preset or file and, for a file that is to be written, its text."""

    name: str
    text: str | None = None


def _fitted(root: Path, space: str | None) -> _Fitted:
    """The space for a folder of pictures, which is looked at: a named one if it fits, else one made from a preset.

    Raises:
        DataError: the folder is missing, or holds no classes of pictures.
        ConfigError: the user's own space has another number of classes.
    """
    from splitkit.data.decode import shown
    from splitkit.data.survey import survey
    from splitkit.project.steps import name_left_out
    from splitkit.space import load_space
    from splitkit.space.fitting import fits, fitted_space, nearest_preset
    from splitkit.space.search_space import preset_names

    say = partial(stderr.print, markup=False, highlight=False, soft_wrap=True)
    if not root.is_dir():
        raise DataError(f"{root}: no such folder", "'digits', or a folder of pictures")
    found = survey(root)
    for line in found.lines():
        say(line)
    name_left_out(found.left_out, say)
    say("training pictures are not mirrored: where left and right may be swapped, mirror = true in [data] helps")
    classes, channels = len(found.classes), found.channels
    named = None if space is None else load_space(space)
    if space is not None and named is not None and named.head.classes == classes:
        return _Fitted(space)
    if space is not None and space not in preset_names():
        assert named is not None
        raise ConfigError(
            f"{space}: head.classes: {named.head.classes}, but {root} has {classes} classes",
            f"set it to {classes}, or leave --space out",
        )
    preset, size = (space, named.input.size) if space and named else nearest_preset(channels, found.sides[1])
    about = f"For {shown(root)}: {classes} classes, {'grey' if channels == 1 else 'colour'}, captured at {size}x{size}."
    name = root.resolve().name
    text = fitted_space(preset, name=name, about=about, classes=classes, channels=channels, size=size)
    return _Fitted(preset) if fits(load_space(preset), text) else _Fitted(SPACE_FILE, text)


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
    partial = path.with_name(f".{path.name}.tmp")
    try:
        partial.write_text(text, encoding="utf-8")
        check(partial)
        partial.replace(path)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)


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
