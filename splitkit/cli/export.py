"""`splitkit export`."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from splitkit.cli.console import print_json, stderr
from splitkit.cli.next_step import say_next
from splitkit.cli.options import JSON, PRECISION, RUNTIME, TUNE, point_of, project_options

if TYPE_CHECKING:
    from collections.abc import Mapping

    from splitkit.sides import Side


def _say_what_int8_cost(figures: "Mapping[str, float]") -> None:
    stderr.print(
        f"int8: {figures['test_accuracy']:.2%} of test images, float32 {figures['float32_test_accuracy']:.2%}: "
        f"{figures['int8_difference']:+.2%} (95 % interval {figures['int8_difference_low']:+.2%} to "
        f"{figures['int8_difference_high']:+.2%})"
    )


@click.command("export")
@project_options
@click.option("--split", "selector", required=True, metavar="RUN[:INDEX]", help="The run, and the point of its front.")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Directory of the bundle.")
@click.option(
    "--sign", "sign_key", type=click.Path(path_type=Path, dir_okay=False), metavar="KEY.pem",
    help="Sign the bundle with this private key (Ed25519, PEM).",
)  # fmt: skip
@PRECISION
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
    sign_key: Path | None,
    int8: "frozenset[Side]",
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
              splitkit export --split first -o bundle --precision sensor=int8
              splitkit export --split first -o bundle --sign keys/signing-key.pem

    An older bundle in the output directory is replaced, if nothing else is there.
    """
    from splitkit.bundle.ownership import require_own_bundle
    from splitkit.bundle.signing import read_private_key
    from splitkit.project import Run, load_project
    from splitkit.project.steps import check_search, export_step, finish_networks, name_left_out, open_run, pick_point
    from splitkit.project.tuning import tune_architecture
    from splitkit.search import load_result

    require_own_bundle(output)  # mistakes that are better found before the network is fine-tuned
    if sign_key is not None:
        read_private_key(sign_key)
    name, index = point_of(selector, "--split")
    project = load_project(config, space=space, system=system, data=data, run=run or name, seed=seed)
    project = project.model_copy(update={"runtimes": runtimes})
    result = load_result(Run.of(project).pareto)
    supernet, dataset = open_run(project, stderr.print)
    check_search(project, result)
    point = pick_point(result, index)
    if tune_s is not None:
        with stderr.status("tuning kernels") as status:
            reports = tune_architecture(project, point.architecture, tune_s, lambda p: None)
        for side, report in reports.items():
            stderr.print(f"{side}: {report.text()}")
    with stderr.status("extracting") as status:
        [network] = finish_networks(project, supernet, [point.architecture], dataset, status.update)
        bundle = export_step(project, point, network, dataset, output, sign_key=sign_key, int8=int8, say=status.update)
    name_left_out(dataset.test_problems, partial(stderr.print, markup=False))
    if as_json:
        print_json(bundle.manifest.model_dump(mode="json"))
    for record in bundle.manifest.verification:
        stderr.print(
            f"verified on {record.frames} images with {record.runtime}: scores within {record.scores_error:.1e}, "
            f"top-1 agreement {record.top1_agreement:.2%}"
        )
    if int8:
        _say_what_int8_cost(bundle.manifest.predicted)
    stderr.print(f"wrote {bundle.path}", markup=False)
    say_next("bench", str(bundle.path), carry=False)
