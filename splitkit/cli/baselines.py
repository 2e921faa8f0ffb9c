"""`splitkit baselines`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from splitkit.cli.console import print_json, stderr
from splitkit.cli.next_step import say_next
from splitkit.cli.options import JSON, project_options

if TYPE_CHECKING:
    from splitkit.search.baselines import Name


def row_names(ctx: click.Context, param: click.Parameter, text: str | None) -> "tuple[Name, ...]":
    """NAME,NAME of known rows."""
    from splitkit.search.baselines import NAMES

    names = [name.strip() for name in text.split(",")] if text is not None else []
    if unknown := [name for name in names if name not in NAMES]:
        raise click.BadParameter(f"{unknown[0]!r}: known are {', '.join(NAMES)}")
    return tuple(name for name in NAMES if name in names)


@click.command("baselines")
@project_options
@click.option("--rows", callback=row_names, metavar="NAME,...", help="Only these ways, and the found split.")
@click.option(
    "--loss", type=click.FloatRange(0, 1), default=0.01, show_default=True,
    help="Accuracy that a file format, a narrower link or a bottleneck may cost.",
)  # fmt: skip
@click.option("--test", is_flag=True, help="Open the test set for the choices that were made, once each.")
@JSON
def command(
    config: Path | None,
    space: str | None,
    system: str | None,
    data: str | None,
    run: str | None,
    seed: int | None,
    rows: "tuple[Name, ...]",
    loss: float,
    test: bool,
    as_json: bool,
) -> None:
    """Compare what a search found with every other way; writes runs/NAME/baselines.json.

    All on the sensor or the aggregator, the picture sent raw, as JPEG or as WebP; the best cut of a network that nobody
    searched, plain and with a bottleneck put in and fine-tuned; random search; a search unaware of the split. Each is
    trained, predicted and limited like the found split. Rows that are there already are not made again.

    \b
    Example:  splitkit baselines
              splitkit baselines --rows jpeg,webp,fixed_cut --loss 0.005
              splitkit baselines --test --json
    """
    from splitkit.project import Run, load_project
    from splitkit.project.reporting import load_reported
    from splitkit.project.steps import baselines_step
    from splitkit.report.baselines_table import baselines_table
    from splitkit.search import load_result

    if run is None:
        project = load_project(config, space=space, system=system, data=data, seed=seed)
    else:
        project = load_reported(run, config, space=space, system=system, data=data, seed=seed)
    load_result(Run.of(project).pareto)  # without one there is nothing to be said but that
    with stderr.status("reading the run") as status:
        found = baselines_step(project, rows, test=test, loss=loss, say=status.update)
    stderr.print(baselines_table(found))
    if found.verdict:
        stderr.print(found.verdict)
    stderr.print(f"wrote {Run.of(project).baselines}", markup=False)
    if as_json:
        print_json(found.to_json())
    say_next("report", project.run)
