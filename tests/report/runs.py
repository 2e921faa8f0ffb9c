"""Finished searches of every kind a report can be of, made through the steps of the loop on analytical systems."""

import shutil
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from splitkit.project import Project, Run
from splitkit.project.config import ConstraintSection, SearchSection
from splitkit.project.steps import search_step
from splitkit.search import SearchResult
from tests.scratch import scratch_folder
from tests.search.hardware import FormulaEvaluator

SPACE = """
name = "small"
[input]
channels = 1
size = 32
resolutions = [16, 32]
[stem]
widths = [8]
[[phases]]
widths = [16, 24]
after = [0, 1]
kernels = [3, 5]
expands = [2]
[head]
classes = 10
[link]
reduce_ratios = [0.25, 0.5, 1.0]
dtypes = ["float16", "uint8"]
"""


def finished(
    directory: Path, *, views: int | None = None, feedback_rounds: int = 2, **limits: Any
) -> tuple[Project, SearchResult]:
    """A search that ended, in `directory`; accuracies are a formula, times those of the system `hmd`.

    Equal ones are searched once in a process, and copied.
    """
    made, result = _finished(views, feedback_rounds, tuple(sorted(limits.items())))
    shutil.copytree(made.root, directory, dirs_exist_ok=True)
    return made.model_copy(update={"root": directory}), result


@cache
def _finished(
    views: int | None, feedback_rounds: int, limits: tuple[tuple[str, Any], ...]
) -> tuple[Project, SearchResult]:
    directory = Path(mkdtemp(dir=scratch_folder()))
    (directory / "small.toml").write_text(SPACE)
    project = Project(
        run="made",
        space="small.toml",
        system="hmd",
        views=views,
        search=SearchSection(population=8, generations=3, feedback_rounds=feedback_rounds),
        constraints=ConstraintSection(**dict(limits)),
        root=directory,
    )
    Run.of(project).directory.mkdir(parents=True)
    return project, search_step(project, FormulaEvaluator(project.load_space()))
