"""A project's data set, and what is said of files that could not be used."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from splitkit.project.config import Project
from splitkit.project.run import Run

if TYPE_CHECKING:
    from splitkit.data import Dataset
    from splitkit.space import SearchSpace


Say = Callable[[str], None]


def silent(text: str) -> None:
    """Say nothing."""


def load_data(
    project: Project, space: "SearchSpace", say: Say = silent, trained_on: Sequence[str] | None = None
) -> "Dataset":
    """The project's data set; files that could not be used are named through `say`.

    What is known of a large one is kept beside the run, so that only the first of its commands has to look at it.

    Raises:
        DataError: it is missing, malformed, has another number of classes than the space, or not the classes that a
            network was `trained_on`.
    """
    from splitkit.data import load_dataset

    run = Run.of(project)
    reading = project.data.reading() | {"index": run.pictures, "renders": run.renders, "say": say}
    data = load_dataset(project.data_source, space, project.seed, trained_on=trained_on, **reading)
    name_left_out(data.problems, say)
    return data


def name_left_out(problems: Sequence[str], say: Say) -> None:
    """One line for each file that a data set goes without, the first twenty of them."""
    for problem in problems[:20]:
        say(f"left out: {problem}")
    if len(problems) > 20:
        say(f"left out: {len(problems) - 20} more")
