"""`splitkit demo`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn

from splitkit.cli.console import print_json, stderr
from splitkit.cli.next_step import say_next
from splitkit.cli.options import JSON, run_name
from splitkit.progress import Bars

if TYPE_CHECKING:
    from splitkit.bench.progress import BuildProgress
    from splitkit.project.demo import Demo, Reporters
    from splitkit.search import FinalsProgress
    from splitkit.search.run import Progress as SearchProgress
    from splitkit.training import StepReport


@click.command("demo")
@click.option("--system", default="demo", show_default=True, help="System: a profile or a .toml file.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option(
    "--views", type=click.IntRange(1, 16), default=1, show_default=True,
    help="Sensors, one view each; of several the data is 'shapes3d'.",
)  # fmt: skip
@click.option(
    "--run", default="demo", callback=run_name, show_default=True, help="Name of the run: results go to runs/NAME/."
)
@JSON
def command(system: str, seed: int, views: int, run: str, as_json: bool) -> None:
    """Run the whole loop on embedded data: three to eight minutes on two cores.

    With one sensor the data is scikit-learn's handwritten digits, with several it is generated solids that one camera
    cannot tell apart, and where and how their views are fused is searched as well.

    Trains the supernets, measures kernels, searches architecture and split, measures what was found and corrects the
    predictor, then exports, proves, runs and measures the best network of each system. Writes runs/demo/summary.json.

    \b
    Example:  splitkit demo
              splitkit demo --views 4 --run views
    """
    from splitkit.project.config import DataSection, Project, SearchSection
    from splitkit.project.demo import run_demo

    budget = SearchSection(population=32, generations=8)
    data = DataSection(source="digits" if views == 1 else "shapes3d")
    project = Project(
        run=run, seed=seed, space="tiny", system=system, views=views, data=data, search=budget, root=Path()
    )  # fmt: skip
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), TimeElapsedColumn())
    with Bars(*columns, console=stderr) as bar:
        demo = run_demo(project, _Bars(bar).reporters())
    show(demo, run, as_json)


def show(demo: "Demo", run: str, as_json: bool = False) -> None:
    """Print what a demo found; the last line says which system wins, and why."""
    from splitkit.report.tables import demo_table

    summary = demo.to_json()
    if as_json:
        print_json(summary)
    else:
        stderr.print(summary["data"])
        stderr.print(demo_table(summary))
    for record in demo.result.feedback:
        stderr.print(
            f"feedback round {record.round}: {record.measured} measured, prediction off by "
            f"{record.median_error:.1%} (median), {record.max_error:.1%} (largest)"
        )
    stderr.print(f"wrote runs/{run}/summary.json")
    if demo.systems:
        shown = demo.systems.get("split") or next(iter(demo.systems.values()))
        say_next("bench", str(shown.bundle.path), carry=False)
    stderr.print(demo.verdict.text)


class _Bars:
    """One bar per step of the demo."""

    def __init__(self, bar: Bars) -> None:
        self.bar = bar
        self.task: TaskID | None = None
        self.name = ""

    def reporters(self) -> "Reporters":
        from splitkit.project.demo import Reporters

        return Reporters(
            self._say, self._title, self._training, self._building, self._searching, self._choosing
        )  # fmt: skip

    def _title(self, text: str) -> None:
        if self.task is not None:
            self.bar.update(self.task, description=self.name, total=1, completed=1)
            self.bar.stop_task(self.task)
        self.name = text
        self.task = self.bar.add_task(text, total=None)

    def _detail(self, detail: str, completed: float | None = None, total: float | None = None) -> None:
        assert self.task is not None
        self.bar.update(self.task, description=f"{self.name}: {detail}", completed=completed, total=total)

    def _say(self, text: str) -> None:
        self._detail(text)

    def _training(self, state: "StepReport") -> None:
        self._detail(f"loss {state.loss:.3f}", state.step, state.steps)

    def _building(self, state: "BuildProgress") -> None:
        self._detail(f"{state.known} of {state.wanted} units", state.known, state.wanted)

    def _searching(self, state: "SearchProgress") -> None:
        self._detail(f"round {state.round}, {state.system}, {state.evaluated} scored, best {state.best_accuracy:.1%}")

    def _choosing(self, state: "FinalsProgress") -> None:
        self._detail(f"fine-tuning finalists, {state.done} of {state.trials}", state.done, state.trials)
