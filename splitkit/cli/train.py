"""`splitkit train`."""

from pathlib import Path

import click

from splitkit.cli.console import only_first_speaks, print_json, stderr
from splitkit.cli.next_step import say_next
from splitkit.cli.options import JSON, point_of, project_options, seconds
from splitkit.cli.train_architecture import train_architecture


@click.command("train")
@project_options
@click.option("--resume", is_flag=True, help="Go on from the run's checkpoint.")
@click.option("--steps", type=click.IntRange(min=1), help="Training steps; the space's own schedule by default.")
@click.option(
    "--budget", callback=seconds, metavar="TIME",
    help="Train for 20m, 2h, ...: as many steps as this machine takes in that time.",
)  # fmt: skip
@click.option(
    "--init", "source", metavar="FROM",
    help="Begin with the weights of another run, of a checkpoint of ours, or (with --init-table) of any torch one.",
)  # fmt: skip
@click.option(
    "--init-table", "table", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    help="TOML: which layer begins with which tensors of a plain torch checkpoint.",
)  # fmt: skip
@click.option(
    "--architecture", "selector", metavar="RUN[:INDEX]",
    help="Train one network that the run's search found, by itself and from random weights, to compare with.",
)  # fmt: skip
@click.option("--device", help="auto, cpu, cuda, ...")
@JSON
def command(
    config: Path | None,
    space: str | None,
    system: str | None,
    data: str | None,
    run: str | None,
    seed: int | None,
    resume: bool,
    steps: int | None,
    budget: float | None,
    source: str | None,
    table: Path | None,
    selector: str | None,
    device: str | None,
    as_json: bool,
) -> None:
    """Train the supernets into runs/NAME/supernet.pt.

    \b
    Example:  splitkit train
              splitkit train --space cifar --data ~/cifar10 --budget 2h
              splitkit train --resume
              splitkit train --run smaller --space smaller.toml --init first
              splitkit train --architecture first:4 --budget 20m
              torchrun --nproc-per-node 2 --max-restarts 3 -m splitkit train
    """
    from splitkit.project import Run, load_project
    from splitkit.project.steps import Init, begun_classes, load_data, train_step
    from splitkit.training import progress_bar
    from splitkit.training.joining import Place, joined

    if steps is not None and budget is not None:
        raise click.UsageError("--steps and --budget both say how long; give one of them")
    if table is not None and source is None:
        raise click.UsageError("--init-table needs --init, the checkpoint that it describes")
    if selector and (resume or source):
        raise click.UsageError(
            "--architecture begins with random weights and goes on by itself: no --resume, no --init"
        )
    if selector and Place.of_environment().size > 1:
        raise click.UsageError("--architecture trains in one process: start it without torchrun")
    name, index = point_of(selector, "--architecture") if selector else (None, None)
    project = load_project(config, space=space, system=system, data=data, run=run or name, seed=seed)
    given = {"steps": steps, "budget": budget, "device": device}
    if steps or budget:  # what the file says of the length gives way
        project = project.model_copy(update={"train": project.train.model_copy(update={"steps": None, "budget": None})})
    overrides = {name: value for name, value in given.items() if value is not None}
    project = project.model_copy(update={"train": project.train.model_copy(update=overrides)})
    if selector:
        train_architecture(project, index, as_json)
        return
    init = None if source is None else Init(source, table)
    with joined(project.train.device) as ranks, only_first_speaks(ranks.rank):
        resume = resume or ranks.restarted
        trained_on = begun_classes(project) if resume else None
        dataset = load_data(project, project.load_space(), stderr.print, trained_on)
        stderr.print(dataset.description, markup=False, highlight=False, soft_wrap=True)
        with progress_bar("training", stderr) as report:
            train_step(project, dataset, resume=resume, init=init, report=report, say=stderr.print, ranks=ranks)
        checkpoint = Run.of(project).supernet
        stderr.print(f"wrote {checkpoint}", markup=False)
        if as_json and ranks.rank == 0:
            print_json({"schema_version": 1, "checkpoint": str(checkpoint)})
        say_next("bench", "--target", "sensor")
