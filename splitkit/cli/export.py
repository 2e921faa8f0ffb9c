"""`splitkit export`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from splitkit.cli.console import print_json, stderr
from splitkit.cli.options import JSON, RUNTIME, TUNE, project_options

if TYPE_CHECKING:
    from splitkit.profiles.schema import Side


def _selector(text: str) -> tuple[str, int | None]:
    name, colon, index = text.partition(":")
    if colon and not index.isdigit():
        raise click.BadParameter(f"{text!r}: RUN or RUN:INDEX is expected", param_hint="--split")
    return name, int(index) if colon else None


@click.command("export")
@project_options
@click.option("--split", "selector", required=True, metavar="RUN[:INDEX]", help="The run, and the point of its front.")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Directory of the bundle.")
@RUNTIME
@TUNE
@JSON
def command(
    config: Path | None,
    space: str | None,
    system: str | None,
    data: str | None,
    run: str | None,
    seed: int | None,
    selector: str,
    output: Path,
    runtimes: "dict[Side, str]",
    tune_s: float | None,
    as_json: bool,
) -> None:
    """Cut a searched network in two, compile both halves, prove them against the whole, write a bundle.

    Without an index it is the fastest of the points that the search chose, one of each system.

    \b
    Example:  splitkit export --split first -o bundle
              splitkit export --split first:4 -o bundle4 --tune 60s
              splitkit export --split first -o bundle --runtime aggregator=onnxruntime
    """
    from splitkit.project import Run, load_project
    from splitkit.project.steps import export_step, finish_network, load_data, load_trained, pick_point
    from splitkit.project.tuning import tune_architecture
    from splitkit.search import load_result

    name, index = _selector(selector)
    project = load_project(config, space=space, system=system, data=data, run=run or name, seed=seed)
    project = project.model_copy(update={"runtimes": runtimes})
    result = load_result(Run.of(project).pareto)
    supernet = load_trained(project)
    dataset = load_data(project, project.load_space(), stderr.print)
    point = pick_point(result, index)
    if tune_s is not None:
        with stderr.status("tuning kernels") as status:
            reports = tune_architecture(project, point.architecture, tune_s, lambda p: None)
        for side, report in reports.items():
            stderr.print(f"{side}: {report.text()}")
    with stderr.status("extracting") as status:
        network = finish_network(project, supernet, point.architecture, dataset, status.update)
        bundle = export_step(project, point, network, dataset, output, say=status.update)
    if as_json:
        print_json(bundle.manifest.model_dump(mode="json"))
    for record in bundle.manifest.verification:
        stderr.print(
            f"verified on {record.frames} images with {record.runtime}: scores within {record.scores_error:.1e}, "
            f"top-1 agreement {record.top1_agreement:.2%}"
        )
    stderr.print(f"wrote {bundle.path}: next, splitkit bench {bundle.path}")
