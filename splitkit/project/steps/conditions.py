"""What a search's answers depend on, and whether that is as it was."""

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from splitkit.errors import ConfigError
from splitkit.project.config import DataSection, Project
from splitkit.project.run import Run

if TYPE_CHECKING:
    from splitkit.search import SearchResult


def check_search(project: Project, result: "SearchResult", parts: Sequence[str] = ("space", "supernet")) -> None:
    """Refuse a search that was made with other networks than the run has now.

    Raises:
        ConfigError: the space was changed since, or its supernet trained again; the changed field is named.
    """
    run, now = Run.of(project), conditions(project, Run.of(project))
    for name in parts:
        if result.conditions.get(name, now[name]) != now[name]:
            what = f": {difference}" if name == "space" and (difference := _edited(project)) else ""
            raise ConfigError(
                f"{run.pareto}: the {name} is not the one that was searched{what}", "run `splitkit search` again"
            )


def search_digest(run: Run) -> str:
    """Of a finished search's result: what was made of it is told from what was made of another."""
    return _digest(run.pareto.read_bytes())


def _edited(project: Project) -> str | None:
    """The field in which the space differs from the one the run's supernet was trained with, where that can be read."""
    from splitkit.space.difference import space_difference
    from splitkit.training import load_supernet

    checkpoint = Run.of(project).supernet
    if not checkpoint.exists():
        return None
    return space_difference(load_supernet(checkpoint).supernet.space, project.load_space())


def conditions(project: Project, run: Run) -> dict[str, str]:
    """What a search's answers depend on: the space, the system, the weights, the data."""
    return {
        "space": _digest(project.load_space().model_dump_json().encode()),
        "system": _digest(project.load_system().model_dump_json().encode()),
        "supernet": _digest(run.supernet.read_bytes()) if run.supernet.exists() else "none",
        "data": " ".join([f"{project.data.source} seed {project.seed}", *_scored_on(project.data)]),
    }


def _scored_on(data: DataSection) -> list[str]:
    """The settings that change what candidates are scored on, those that are given."""
    settings = {"search_images": data.search_images, "full_scale": data.full_scale}
    return [f"{name} {value}" for name, value in settings.items() if value is not None]


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
