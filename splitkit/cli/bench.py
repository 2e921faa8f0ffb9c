"""`splitkit bench`."""

from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn

from splitkit.cli.console import print_json, stderr
from splitkit.cli.next_step import say_next
from splitkit.cli.options import JSON, RUNTIME, TUNE, project_options, seconds
from splitkit.progress import Bars

if TYPE_CHECKING:
    from splitkit.bench.progress import BuildProgress, BuildReport
    from splitkit.bundle import Bundle
    from splitkit.project import Project
    from splitkit.sides import Side

COLUMNS = (
    TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
    TextColumn("{task.fields[left]}"),
)  # fmt: skip


@click.command("bench")
@click.argument("bundle", required=False, type=click.Path(path_type=Path))
@click.option(
    "--target", type=click.Choice(["sensor", "aggregator"]), help="Measure kernels on this part of the system."
)
@click.option("--budget", callback=seconds, metavar="TIME", help="Stop measuring kernels after 90s, 20m, 2h, ...")
@click.option(
    "--frames", type=click.IntRange(min=10), default=100, show_default=True, help="Frames to run of a bundle."
)
@click.option(
    "--verify-key", type=click.Path(path_type=Path, dir_okay=False), metavar="PUB.pem",
    help="Run the bundle only if the owner of this public key signed it.",
)  # fmt: skip
@click.option(
    "--privacy", is_flag=True, help="Of a bundle: how much of the image its link gives away. Takes a minute or more."
)
@click.option("--tracker", metavar="HOST[:PORT]", help="Use all boards that this tracker knows (devices of kind rpc).")
@click.option("--key", help="What those boards call themselves.")
@RUNTIME
@TUNE
@project_options
@JSON
def command(
    bundle: Path | None,
    target: "Side | None",
    budget: float | None,
    frames: int,
    verify_key: Path | None,
    privacy: bool,
    tracker: str | None,
    key: str | None,
    runtimes: "dict[Side, str]",
    tune_s: float | None,
    config: Path | None,
    space: str | None,
    system: str | None,
    data: str | None,
    run: str | None,
    seed: int | None,
    as_json: bool,
) -> None:
    """Measure kernels on a target, or a bundle as two processes over its link.

    A compiled bundle is code, and running it runs that code with your rights: use bundles whose origin you trust, or
    have --verify-key check who signed it before anything of it is loaded.

    \b
    Example:  splitkit bench --target sensor --budget 20m
              splitkit bench --target sensor --tune 5m
              splitkit bench --target sensor --tracker 127.0.0.1:9190 --key rpi4
              splitkit bench bundle
              splitkit bench bundle --runtime onnxruntime
              splitkit bench bundle --privacy
              splitkit bench bundle --verify-key keys/signing-key.pub.pem
    """
    from splitkit.bundle import load_bundle
    from splitkit.project import Run, load_project
    from splitkit.project.steps import bench_step, hop_of

    if (bundle is None) == (target is None):
        raise click.UsageError("name either a bundle or --target sensor|aggregator")
    if bundle is not None:
        if tune_s is not None:
            raise click.UsageError("--tune goes with --target: a bundle is compiled already")
        if tracker is not None or key is not None:
            raise click.UsageError("--tracker and --key go with --target: boards measure kernels")
        if privacy:
            project = load_project(config, space=space, system=system, data=data, run=run, seed=seed)
            _show_privacy(project, load_bundle(bundle, verify_key), as_json)
            return
        _bench_bundle(bundle, frames, runtimes, verify_key, as_json)
        return
    if privacy:
        raise click.UsageError("--privacy goes with a bundle: it is about what crosses its link")
    if verify_key is not None:
        raise click.UsageError("--verify-key goes with a bundle: kernels are compiled here")
    assert target is not None
    project = load_project(config, space=space, system=system, data=data, run=run, seed=seed)
    project = project.model_copy(update={"runtimes": runtimes})
    if tune_s is not None:
        _tune(project, target, tune_s)
    with Bars(*COLUMNS, console=stderr) as bar:
        task = bar.add_task(f"measuring units for {target}", total=None, left="")

        def show(state: "BuildProgress") -> None:
            bar.update(task, completed=state.known, total=state.wanted, left=_left(state))

        report = bench_step(project, (target,), budget, show, tracker=tracker, key=key)[target]
    _print_report(report)
    stderr.print(f"link: {hop_of(project).text()}")
    stderr.print(f"wrote {Run.of(project).lut}", markup=False)
    if as_json:
        print_json({"schema_version": 1, "target": target, **report.__dict__})
    if target == "sensor":
        say_next("bench", "--target", "aggregator", *([] if budget is None else ["--budget", f"{budget:g}s"]))
    else:
        say_next("search")


def _left(state: "BuildProgress") -> str:
    """What share of the space's weight is covered, and how long the rest takes."""
    eta = "" if state.eta_s is None else f", {timedelta(seconds=round(state.eta_s))} left"
    return f"{state.coverage:.0%} of the weight{eta}"


def _print_report(report: "BuildReport") -> None:
    stderr.print(
        f"{report.measured} kernels measured in {report.networks} networks and {report.seconds:.0f} s, "
        f"{report.reused} known before; {report.coverage:.0%} of the weight is covered, {report.missing} units "
        f"are not; {report.flagged} measurements under drift"
    )
    if report.lost:
        stderr.print(f"{report.lost} jobs were lost: their process was killed, as systems do when memory runs out")
    if len(report.boards) > 1:
        stderr.print("networks by board: " + ", ".join(f"{board} {n}" for board, n in sorted(report.boards.items())))
    for board, why in sorted({**report.trouble, **report.left_out}.items()):
        stderr.print(f"board {board}{' left out' if board in report.left_out else ' failed'}: {why}")


def _tune(project: "Project", target: "Side", budget_s: float) -> None:
    from splitkit.project.tuning import tune_space

    with stderr.status(f"tuning kernels for {target}") as status:
        report = tune_space(
            project, target, budget_s,
            lambda p: status.update(f"tuning kernels for {target}: {p.tried} tried, {p.improved} faster"),
        )  # fmt: skip
    stderr.print(f"{target}: {report.text()}")


def _show_privacy(project: "Project", bundle: "Bundle", as_json: bool) -> None:
    from splitkit.project.steps.privacy import privacy_step
    from splitkit.report.tables import privacy_table

    with stderr.status("") as status:
        rows = privacy_step(project, bundle, lambda text: status.update(text))
    if as_json:
        print_json({"schema_version": 1, "bundle": bundle.id, "privacy": [asdict(row) for row in rows]})
        return
    stderr.print(privacy_table(rows))
    stderr.print("what one decoder drew of pictures it had not seen: somebody with more time may see more")


def _bench_bundle(path: Path, frames: int, runtimes: "dict[Side, str]", verify_key: Path | None, as_json: bool) -> None:
    from splitkit.bundle import load_bundle
    from splitkit.errors import named_as
    from splitkit.labels import shown_name
    from splitkit.report.tables import stage_table
    from splitkit.runtime.measure import measure_bundle

    bundle = load_bundle(path, verify_key)
    with TemporaryDirectory(prefix="splitkit-") as scratch:
        if runtimes:
            from splitkit.bundle.recompile import recompile

            bundle = recompile(bundle, runtimes, Path(scratch) / "bundle")
            if verify_key is not None:
                stderr.print("the signature was right; what runs is a copy, compiled here and not signed")
        with stderr.status(f"running {frames} frames"), named_as(path, bundle.path):
            measured = measure_bundle(bundle, frames)
    if as_json:
        print_json({"schema_version": 1, "bundle": bundle.id, **measured.to_json()})
    else:
        stderr.print(stage_table(measured))
        found = ", ".join(f"{shown_name(name)} {count}" for name, count in measured.found.items())
        stderr.print(f"classes found: {found}", markup=False, highlight=False)
    stderr.print(f"{path / 'README.md'} says how each half is run", markup=False)
