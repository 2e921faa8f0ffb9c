"""`splitkit report` as a step: read what a run left behind, draw it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from splitkit.bundle.ownership import require_own_file
from splitkit.errors import ConfigError, StorageError, named_as, reason
from splitkit.latency.store import LutStore
from splitkit.project.config import FILE, Project, load_project
from splitkit.project.corrections import load_corrections
from splitkit.project.run import Run
from splitkit.project.steps import check_search
from splitkit.project.steps.conditions import search_digest
from splitkit.report.content import Content, gather
from splitkit.scratch import scratch_directory
from splitkit.search import Journal, SearchResult, load_result
from splitkit.search.baselines import Baselines, load_baselines

PICTURES = frozenset({"front.png", "latency.png", "architectures.png", "prediction.png", "coverage.png"})
"""Names of the pictures; one that a run has no data for is not drawn."""


def load_reported(
    name: str, config: Path | None, *, space: str | None, system: str | None, **overrides: Any
) -> Project:
    """The project a run belongs to; without a `splitkit.toml`, of the space and system that its search names.

    `overrides` as of `load_project`.

    Raises:
        ConfigError: the project's file is malformed, or there is neither a file nor a finished search.
    """
    if config is None and not Path(FILE).exists() and not (space and system):
        result = load_result(Run(Path("runs") / name).pareto)
        space, system = space or result.space, system or result.system
    return load_project(config, space=space, system=system, run=name, **overrides)


def read_run(project: Project) -> Content:
    """What a report of the project's run says. Nothing of the run is changed, and nothing is measured.

    Raises:
        ConfigError: there is no finished search, its files are damaged, or it was of another space.
    """
    run, space, system = Run.of(project), project.load_space(), project.load_system()
    result = load_result(run.pareto)
    _check_names(run, result, space.name, system.name)
    check_search(project, result, ("space",))
    journal = Journal(run.journal, result.conditions, replay=True) if run.journal.exists() else Journal()
    corrections = load_corrections(run, result)
    with _copy(run.snapshot) as store:
        content = gather(project.run, result, space, system, journal, store, corrections)
    return replace(content, baselines=_baselines(run))


def _baselines(run: Run) -> Baselines | None:
    """The ways that this very search was compared with; None if there are none, or they are of an earlier search.

    Raises:
        ConfigError: their file is damaged.
    """
    if not run.baselines.exists():
        return None
    found = load_baselines(run.baselines)
    return found if found.conditions.get("search") == search_digest(run) else None


def report_step(project: Project, directory: Path | None = None) -> tuple[Path, ...]:
    """Write `report.html` and the PNGs into `directory`, `runs/NAME/report` by default; the files, the page first.

    Those of an older report are replaced.

    Raises:
        ConfigError: there is no finished search, or `directory` has files of those names that are not of a report.
        StorageError: `directory` cannot be written to.
    """
    from splitkit.report.page import GENERATOR, render_page
    from splitkit.report.pictures import SOFTWARE, draw_pictures

    content = read_run(project)
    target = directory or Run.of(project).directory / "report"
    page = target / "report.html"
    require_own_file(page, lambda head: GENERATOR.encode() in head)
    for name in PICTURES:
        require_own_file(target / name, lambda head: SOFTWARE.encode() in head)
    try:
        target.mkdir(parents=True, exist_ok=True)
        with scratch_directory(target, "report") as made:
            (made / page.name).write_text(render_page(content), encoding="utf-8")
            draw_pictures(content, made)
            pictures = sorted(made.glob("*.png"))
            for name in PICTURES - {picture.name for picture in pictures}:
                (target / name).unlink(missing_ok=True)
            for file in (*pictures, made / page.name):
                file.replace(target / file.name)
    except OSError as error:
        raise StorageError(f"{target}: cannot be written: {reason(error)}", "choose another -o") from error
    return (page, *(target / picture.name for picture in pictures))


def _check_names(run: Run, result: SearchResult, space: str, system: str) -> None:
    for what, mine, its in (("space", space, result.space), ("system", system, result.system)):
        if mine != its:
            raise ConfigError(
                f"{run.pareto}: {what}: the search was of {its!r}, this project names {mine!r}", f"add --{what}"
            )


@contextmanager
def _copy(snapshot: Path) -> Iterator[LutStore | None]:
    """The table on a scratch copy: opening one writes to it, and a report changes nothing. None if it is gone."""
    if not snapshot.exists():
        yield None
        return
    with TemporaryDirectory(prefix="splitkit-report-") as scratch:
        for file in snapshot.parent.glob(snapshot.name + "*"):
            shutil.copy(file, scratch)
        copy = Path(scratch) / snapshot.name
        with named_as(snapshot, copy, "run `splitkit search` again"), LutStore(copy) as store:
            yield store
