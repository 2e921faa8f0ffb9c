"""What a training loop tells of itself, and a bar that shows it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from splitkit.progress import Bars


@dataclass(frozen=True, slots=True)
class StepReport:
    """State after `step` of `steps` steps; loss and accuracy are of the (augmented) training batch."""

    step: int
    steps: int
    loss: float
    accuracy: float


Reporter = Callable[[StepReport], None]


@contextmanager
def progress_bar(title: str, console: Console | None = None) -> Iterator[Reporter]:
    """A bar on stderr with smoothed loss, accuracy and the time left."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.3f} accuracy {task.fields[accuracy]:.1%}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=console or Console(stderr=True)) as progress:
        task = progress.add_task(title, total=None, loss=0.0, accuracy=0.0)
        smoothed: list[float] = []

        def report(state: StepReport) -> None:
            if not smoothed:
                smoothed.extend((state.loss, state.accuracy))
            for i, value in enumerate((state.loss, state.accuracy)):
                smoothed[i] += 0.1 * (value - smoothed[i])
            loss, accuracy = smoothed
            progress.update(task, completed=state.step, total=state.steps, loss=loss, accuracy=accuracy)

        yield report
