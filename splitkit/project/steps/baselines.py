"""What a run's split is worth: every other way on the same system, data and budget, kept as each is found."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from splitkit.errors import ConfigError
from splitkit.project.config import Project
from splitkit.project.corrections import load_corrections
from splitkit.project.run import Run
from splitkit.project.steps.conditions import check_search, conditions, search_digest
from splitkit.project.steps.data import Say, silent
from splitkit.project.steps.train import open_run

if TYPE_CHECKING:
    from splitkit.project.baselines.setting import Setting
    from splitkit.search import SearchResult
    from splitkit.search.baselines import Baselines, Name, Row

LOSS = 0.01
"""Accuracy that a file format, a narrower link or a bottleneck may cost by default."""


def baselines_step(
    project: Project,
    rows: "Sequence[Name]" = (),
    *,
    test: bool = False,
    loss: float = LOSS,
    say: Say = silent,
) -> "Baselines":
    """Compare the run's split with other ways, and write `baselines.json`.

    All networks are trained on the training images outside the search slice, and scored on that. A row is kept as it is
    found and not made again; a training or search that was stopped goes on.

    Args:
        rows: names of ways, all by default; the found split, which they are held against, is always among them.
        test: also score every row's frozen choice on the test set, once.
        loss: accuracy in [0, 1] that a file format, a narrower link or a bottleneck may cost.

    Raises:
        ConfigError: there is no finished search or it is of other networks, a row is unknown, or the rows that are
            there were made under other conditions.
        CheckpointError: the run's supernet is missing or damaged.
        DeviceError: kernels are missing from the latency table and cannot be estimated.
        TrainingError: a training diverged.
    """
    from splitkit.search import load_result
    from splitkit.search.baselines import NAMES, save_baselines

    if unknown := [name for name in rows if name not in NAMES]:
        raise ConfigError(f"rows: {unknown[0]!r} is not known", f"known: {', '.join(NAMES)}")
    run = Run.of(project)
    result = load_result(run.pareto)
    check_search(project, result)
    found = _begun(project, result, loss)
    wanted = [name for name in NAMES if not rows or name in rows or name == "split"]
    missing = [name for name in wanted if found.row(name) is None and name not in found.left_out]
    untested = [row for row in found.rows if test and row.name in wanted and row.test_accuracy is None]
    if not missing and not untested:
        return found
    with ExitStack() as stack:
        setting = _setting(project, result, loss, say, stack)
        for name in missing:
            found = _with(found, setting, name, say)
            found = _judged(found, result)
            save_baselines(found, run.baselines)
        for row in [row for row in found.rows if test and row.name in wanted and row.test_accuracy is None]:
            say(f"testing: {row.title}")
            accuracy = setting.networks.scores(row.recipe, setting.data.test).score.accuracy
            found = found.with_row(replace(row, test_accuracy=accuracy))
            save_baselines(found, run.baselines)
    return found


def _begun(project: Project, result: "SearchResult", loss: float) -> "Baselines":
    """What an earlier call left, or nothing yet.

    Raises:
        ConfigError: it was made under other conditions.
    """
    from splitkit.search.baselines import Baselines, load_baselines

    run = Run.of(project)
    now = _conditions(project, result, loss)
    if not run.baselines.exists():
        return Baselines(
            space=result.space, system=result.system, data=project.data.source, conditions=now, loss=loss
        )  # fmt: skip
    found = load_baselines(run.baselines)
    for name in sorted({*found.conditions, *now}):
        if found.conditions.get(name) != now.get(name):
            was, is_ = found.conditions.get(name), now.get(name)
            raise ConfigError(
                f"{run.baselines}: {name}: its rows were made with {was!r}, now it is {is_!r}",
                "delete it to compare afresh",
            )
    return found


def _conditions(project: Project, result: "SearchResult", loss: float) -> dict[str, str]:
    """What rows depend on."""
    run, train = Run.of(project), project.train
    lengths = (train.steps, train.budget, train.fine_tune_steps, train.fine_tune_budget)
    return {
        **conditions(project, run),
        "search": search_digest(run),
        "training": " ".join("default" if length is None else f"{length:g}" for length in lengths),
        "loss": f"{loss:g}",
    }


def _setting(project: Project, result: "SearchResult", loss: float, say: Say, stack: ExitStack) -> "Setting":
    from splitkit.latency.store import LutStore
    from splitkit.project.baselines.networks import Networks
    from splitkit.project.baselines.setting import Setting
    from splitkit.search import Journal

    run = Run.of(project)
    supernet, data = open_run(project, say)
    if not (run.baselines.exists() and run.baselines_lut.exists()):  # what is left of another search's will not do
        with LutStore(run.snapshot if run.snapshot.exists() else run.lut) as table:
            table.backup(run.baselines_lut)
    return Setting(
        project=project,
        system=project.load_system(),
        data=data,
        result=result,
        networks=Networks(project, supernet, data, say),
        store=stack.enter_context(LutStore(run.baselines_lut)),
        corrections=load_corrections(run, result),
        journal=Journal(run.baselines_journal, conditions(project, run)),
        loss=loss,
        say=say,
    )


def _with(found: "Baselines", setting: "Setting", name: "Name", say: Say) -> "Baselines":
    """With a row of that name, or with why there is none."""
    from splitkit.project.baselines.setting import LeftOutError
    from splitkit.search.baselines import TITLES

    say(f"{TITLES[name]} ...")
    try:
        return found.with_row(_make(setting, name))
    except LeftOutError as why:
        say(f"left out: {TITLES[name]}: {why}")
        return found.without(name, str(why))


def _make(setting: "Setting", name: "Name") -> "Row":
    from splitkit.project.baselines.cuts import fixed_bottleneck_row, fixed_cut_row
    from splitkit.project.baselines.found import found_row
    from splitkit.project.baselines.pictures import picture_row
    from splitkit.project.baselines.searches import random_row, unaware_row

    match name:
        case "split" | "all_on_sensor" | "all_on_aggregator":
            return found_row(setting, name)
        case "jpeg":
            return picture_row(setting, name, "JPEG")
        case "webp":
            return picture_row(setting, name, "WEBP")
        case "fixed_cut":
            return fixed_cut_row(setting)
        case "fixed_bottleneck":
            return fixed_bottleneck_row(setting)
        case "random_search":
            return random_row(setting)
        case "unaware_search":
            return unaware_row(setting)


def _judged(found: "Baselines", result: "SearchResult") -> "Baselines":
    """With the sentence that the rows so far come to."""
    from splitkit.report.baselines import judge_baselines

    error = result.feedback[-1].max_error if result.feedback else 0.0
    winner, verdict = judge_baselines(found.rows, error)
    return replace(found, winner=winner, verdict=verdict)
