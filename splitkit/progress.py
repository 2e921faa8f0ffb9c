"""How far something is: bars in a terminal, elsewhere a plain line now and then."""

import time
from typing import Any, Self

from rich.console import Console
from rich.progress import Progress, ProgressColumn, SpinnerColumn, Task, TaskID, TextColumn
from rich.text import Text

LINE_EVERY_S = 10.0


class Bars(Progress):
    """rich's progress bars, whose texts are printed as they are.

    Where nothing can be redrawn, in a log file or a pipe, each task gets a line when it begins, one every
    `LINE_EVERY_S`, and one when it ends, with what its columns say in words.
    """

    def __init__(self, *columns: ProgressColumn, console: Console, transient: bool = False) -> None:
        self._drawn = console.is_interactive
        super().__init__(*columns, console=console, transient=transient, disable=not self._drawn, refresh_per_second=4)
        for column in columns:
            if isinstance(column, TextColumn):
                column.markup = False
        self._said: dict[TaskID, str] = {}
        self._said_at: dict[TaskID, float] = {}

    def add_task(self, *arguments: Any, **options: Any) -> TaskID:
        """As rich does."""
        task = super().add_task(*arguments, **options)
        self._say(task)
        return task

    def update(self, task_id: TaskID, **changes: Any) -> None:
        """As rich does."""
        super().update(task_id, **changes)
        if time.monotonic() - self._said_at[task_id] >= LINE_EVERY_S:
            self._say(task_id)

    def stop_task(self, task_id: TaskID) -> None:
        """As rich does."""
        super().stop_task(task_id)
        self._say(task_id)

    def stop(self) -> None:
        """As rich does."""
        super().stop()
        for task in self.tasks:
            if task.stop_time is None:
                self._say(task.id)

    def _say(self, task_id: TaskID) -> None:
        self._said_at[task_id] = time.monotonic()
        if self._drawn:
            return
        line = self._line(self._tasks[task_id])
        if line != self._said.get(task_id):
            self._said[task_id] = line
            self.console.print(line, soft_wrap=True)

    def _line(self, task: Task) -> str:
        if not task.completed:
            return task.description
        parts = [column(task) for column in self.columns if not isinstance(column, str | SpinnerColumn)]
        return " ".join(part.plain.strip() for part in parts if isinstance(part, Text) and part.plain.strip())


class Status:
    """What is being done, where nobody knows how long it takes."""

    def __init__(self, text: str, console: Console) -> None:
        self._bars = Bars(SpinnerColumn(), TextColumn("{task.description}"), console=console, transient=True)
        self._text = text

    def __enter__(self) -> Self:
        self._bars.start()
        self._task = self._bars.add_task(self._text, total=None)
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def update(self, text: str) -> None:
        """Say something else."""
        self._bars.update(self._task, description=text)
