"""`splitkit report`."""

from pathlib import Path

import click

from splitkit.cli.console import print_json, stderr
from splitkit.cli.next_step import say_next
from splitkit.cli.options import CONFIG, JSON, SPACE, SYSTEM


@click.command("report")
@click.argument("run", metavar="RUN")
@CONFIG
@SPACE
@SYSTEM
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Directory to write to; runs/RUN/report by default."
)
@JSON
def command(
    run: str, config: Path | None, space: str | None, system: str | None, output: Path | None, as_json: bool
) -> None:
    """Draw what a search found: one HTML page that needs nothing else, and the same figures as PNGs.

    Fronts with every network on them, where each is cut, latency by stage, predicted beside measured, and what the
    predictions rest on. Without a splitkit.toml the space and the system are those the search names.

    \b
    Example:  splitkit report first
    """
    from splitkit.project.reporting import load_reported, report_step

    project = load_reported(run, config, space=space, system=system)
    with stderr.status("drawing"):
        files = report_step(project, output)
    if as_json:
        print_json({"schema_version": 1, "page": str(files[0]), "pictures": [str(file) for file in files[1:]]})
    stderr.print(f"wrote {files[0]} and {len(files) - 1} pictures: open it in a browser", markup=False)
    say_next("export", "--split", run, "-o", "bundle")
