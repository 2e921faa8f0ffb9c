"""Options that several commands share."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from splitkit.sides import SIDES, Side

F = TypeVar("F", bound=Callable[..., Any])


def seconds(ctx: click.Context, param: click.Parameter, text: str | None) -> float | None:
    """A duration such as 90s, 20m or 2h."""
    from splitkit.project.duration import seconds_of

    try:
        return None if text is None else seconds_of(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


CONFIG = click.option(
    "--config", type=click.Path(path_type=Path), help="The project's file; splitkit.toml in this directory by default."
)
SPACE = click.option("--space", help="Search space: a preset or a .toml file.")
SYSTEM = click.option("--system", help="System: a profile or a .toml file.")
DATA = click.option("--data", help="'digits', 'shapes3d', or a folder: train/<class>/ and val/<class>/, or <class>/.")


def run_name(ctx: click.Context, param: click.Parameter, name: str | None) -> str | None:
    """A name that is one directory's."""
    from splitkit.project.run import RUN_NAME

    if name is not None and not re.fullmatch(RUN_NAME, name):
        raise click.BadParameter(f"{name!r}: letters, digits, '_', '.' and '-' are expected")
    return name


def point_of(text: str, option: str) -> tuple[str, int | None]:
    """A run and the index of a point of its front: RUN or RUN:INDEX."""
    name, colon, index = text.partition(":")
    if colon and not (index.isascii() and index.isdigit()):
        raise click.BadParameter(f"{text!r}: RUN or RUN:INDEX is expected", param_hint=option)
    return name, int(index) if colon else None


def input_shapes(ctx: click.Context, param: click.Parameter, texts: tuple[str, ...]) -> dict[str, tuple[int, ...]]:
    """`NAME:1,3,224,224`."""
    found = {}
    for text in texts:
        name, _, extents = text.rpartition(":")
        if not name or not re.fullmatch(r"[1-9][0-9]{0,8}(,[1-9][0-9]{0,8})*", extents):
            raise click.BadParameter(f"{text!r}: NAME:1,3,224,224 is expected")
        found[name] = tuple(map(int, extents.split(",")))
    return found


INPUT_SHAPE = click.option(
    "--input-shape", "shapes", multiple=True, callback=input_shapes, metavar="NAME:1,3,224,224",
    help="Shape of an input that the model leaves open.",
)  # fmt: skip

AGGREGATOR_INPUT = click.option(
    "--aggregator-input", "aggregator_inputs", multiple=True, metavar="NAME",
    help="An input that the aggregator has by itself, such as a prompt; the sensor captures all others.",
)  # fmt: skip

VIEWS = click.option(
    "--views", type=click.IntRange(1, 64), default=1, show_default=True, metavar="V",
    help="Sensors that capture a view each: an input of the model, or a row of its one input.",
)  # fmt: skip
JOIN = click.option(
    "--join", default="", metavar="TENSOR[,TENSOR]",
    help="Up to where everything is done for each view by itself: tensors of any one view.",
)  # fmt: skip

LINK_DTYPE = click.option(
    "--link-dtype", type=click.Choice(["float16", "uint8"]), help="What computed float32 tensors are sent as."
)
BOTTLENECK = click.option(
    "--inject-bottleneck", "bottleneck", type=click.FloatRange(0, 1, min_open=True), metavar="RATIO",
    help="Send this share of the channels: reduce and recover, by the features' principal components.",
)  # fmt: skip
CALIBRATION = click.option(
    "--calibration", type=click.Path(path_type=Path), metavar="DIR|FILE.npz",
    help="Inputs that uint8 and bottlenecks are made from: a folder of pictures, or arrays of frames by input name.",
)  # fmt: skip

RUN = click.option("--run", callback=run_name, help="Name of the run: results go to runs/NAME/.")
SEED = click.option("--seed", type=click.IntRange(min=0), help="Seed of everything that is drawn.")
TUNE = click.option(
    "--tune", "tune_s", callback=seconds, metavar="TIME",
    help="First search the kernels' parameters for 60s, 5m, ...; what is found faster is used from then on.",
)  # fmt: skip


def runtimes(ctx: click.Context, param: click.Parameter, texts: tuple[str, ...]) -> "dict[Side, str]":
    """`onnxruntime` for both sides, `sensor=onnxruntime` for one."""
    from splitkit.exporters.registry import exporter_names

    chosen: dict[Side, str] = {}
    for text in texts:
        side, equals, name = text.rpartition("=")
        if equals and side not in SIDES:
            raise click.BadParameter(f"{text!r}: [sensor|aggregator=]NAME is expected")
        if name not in exporter_names():
            raise click.BadParameter(f"{name!r}: installed are {', '.join(exporter_names())}")
        chosen |= {which: name for which in SIDES if not equals or which == side}
    return chosen


RUNTIME = click.option(
    "--runtime", "runtimes", multiple=True, callback=runtimes, metavar="[SIDE=]NAME",
    help="Edge runtime in place of the profile's, such as onnxruntime, or sensor=onnxruntime for one side.",
)  # fmt: skip


def precisions(ctx: click.Context, param: click.Parameter, texts: tuple[str, ...]) -> "frozenset[Side]":
    """Sides in int8: `int8` for both, `sensor=int8` for one."""
    chosen: dict[Side, str] = {}
    for text in texts:
        side, equals, name = text.rpartition("=")
        if (equals and side not in SIDES) or name not in ("float32", "int8"):
            raise click.BadParameter(f"{text!r}: [sensor|aggregator=]float32|int8 is expected")
        chosen |= {which: name for which in SIDES if not equals or which == side}
    return frozenset(side for side, name in chosen.items() if name == "int8")


PRECISION = click.option(
    "--precision", "int8", multiple=True, callback=precisions, metavar="[SIDE=]float32|int8",
    help="What the halves compute in, such as int8, or sensor=int8 for one side; float32 by default.",
)  # fmt: skip
JSON = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")


def project_options(command: F) -> F:
    """`--config` and the flags that override what stands in it."""
    for option in (SEED, RUN, DATA, SYSTEM, SPACE, CONFIG):
        command = option(command)
    return command
