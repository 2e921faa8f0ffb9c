"""`splitkit search`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.progress import TextColumn, TimeElapsedColumn

from splitkit.cli.console import print_json, stderr
from splitkit.cli.next_step import say_next
from splitkit.cli.options import JSON, project_options
from splitkit.progress import Bars

if TYPE_CHECKING:
    from splitkit.search import FinalsProgress
    from splitkit.search.run import Progress as SearchProgress


@click.command("search")
@project_options
@click.option("--feedback-rounds", type=click.IntRange(min=0), help="Rounds of measuring what was found.")
@click.option("--replay", is_flag=True, help="Repeat a search from its journal: nothing is scored or measured.")
@click.option(
    "--ray", metavar="ADDRESS|local",
    help="Score candidates on a Ray cluster: HOST:PORT, auto, or local for one on this machine's processors.",
)  # fmt: skip
@JSON
def command(
    config: Path | None,
    space: str | None,
    system: str | None,
    data: str | None,
    run: str | None,
    seed: int | None,
    feedback_rounds: int | None,
    replay: bool,
    ray: str | None,
    as_json: bool,
) -> None:
    """Search architecture, split and compression together; writes runs/NAME/pareto.json.

    \b
    Example:  splitkit search --feedback-rounds 3
              splitkit search --ray local
    """
    if ray is not None and replay:
        raise click.UsageError("--replay scores nothing: leave --ray out")
    from splitkit.project import Run, load_project
    from splitkit.project.steps import evaluator_on, finalist_tuner, open_run, search_step, trained_evaluator
    from splitkit.report.doubts import doubts
    from splitkit.report.tables import front_table
    from splitkit.report.verdict import verdict_of

    project = load_project(config, space=space, system=system, data=data, run=run, seed=seed)
    supernet, dataset = open_run(project, stderr.print)
    own = trained_evaluator(project, supernet, dataset)
    with (
        Bars(TextColumn("{task.description}"), TimeElapsedColumn(), console=stderr) as bar,
        evaluator_on(ray, own, bar.console.print) as evaluator,
    ):
        task = bar.add_task("searching", total=None)

        def show(state: "SearchProgress") -> None:
            bar.update(
                task,
                description=f"round {state.round}, {state.system}: generation {state.generation}/{state.generations}, "
                f"{state.evaluated} scored, best {state.best_accuracy:.1%}, fastest {state.fastest_us:.0f} us",
            )

        def show_finals(state: "FinalsProgress") -> None:
            bar.update(task, description=f"fine-tuning finalists: {state.done} of {state.trials}, {state.system}")

        result = search_step(
            project,
            evaluator,
            tuner=finalist_tuner(project, supernet, dataset),
            feedback_rounds=feedback_rounds,
            replay=replay,
            say=bar.console.print,
            on_progress=show,
            on_finals=show_finals,
        )
    if as_json:
        print_json(result.to_json())
    else:
        stderr.print(front_table(result))
    for name, quality in result.accuracy_model.items():
        tau = "unknown" if quality.rank_correlation is None else f"{quality.rank_correlation:.2f}"
        stderr.print(
            f"accuracy predictor, {name}: {quality.proposed} candidates proposed, {quality.held_out} of the chosen "
            f"scored, rank correlation {tau} (Kendall's tau, each predicted before it was scored)"
        )
    for doubt in doubts(result, len(dataset.classes)):
        stderr.print(f"mind: {doubt}", markup=False)
    stderr.print(verdict_of(result).text, markup=False)
    stderr.print(f"wrote {Run.of(project).pareto}", markup=False)
    say_next("report", project.run)
