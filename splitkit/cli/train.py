"""`splitkit train`."""

from pathlib import Path

import click

from splitkit.cli.console import print_json, stderr
from splitkit.cli.next_step import say_next
from splitkit.cli.options import JSON, project_options


@click.command("train")
@project_options
@click.option("--resume", is_flag=True, help="Go on from the run's checkpoint.")
@click.option("--steps", type=click.IntRange(min=1), help="Training steps; the space's own schedule by default.")
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
    device: str | None,
    as_json: bool,
) -> None:
    """Train the supernets into runs/NAME/supernet.pt.

    \b
    Example:  splitkit train
              splitkit train --space cifar --data ~/cifar10 --resume
    """
    from splitkit.project import Run, load_project
    from splitkit.project.steps import begun_classes, load_data, train_step
    from splitkit.training import progress_bar

    project = load_project(config, space=space, system=system, data=data, run=run, seed=seed)
    overrides = {name: value for name, value in (("steps", steps), ("device", device)) if value is not None}
    project = project.model_copy(update={"train": project.train.model_copy(update=overrides)})
    trained_on = begun_classes(project) if resume else None
    dataset = load_data(project, project.load_space(), stderr.print, trained_on)
    stderr.print(dataset.description, markup=False, highlight=False, soft_wrap=True)
    with progress_bar("training", stderr) as report:
        train_step(project, dataset, resume=resume, report=report)
    checkpoint = Run.of(project).supernet
    stderr.print(f"wrote {checkpoint}", markup=False)
    if as_json:
        print_json({"schema_version": 1, "checkpoint": str(checkpoint)})
    say_next("bench", "--target", "sensor")
