"""Searching a run, with its networks and its table."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from splitkit.project.config import Project
from splitkit.project.run import Run
from splitkit.project.runtimes import require_kernels
from splitkit.project.steps.conditions import conditions
from splitkit.project.steps.data import Say, silent
from splitkit.scratch import write_json

if TYPE_CHECKING:
    from splitkit.data import Dataset
    from splitkit.search import Evaluator, Finals, FinalsProgress, Predictor, SearchResult, Tuner
    from splitkit.search.run import Progress as SearchProgress
    from splitkit.space import Architecture
    from splitkit.supernet import Supernet
    from splitkit.training import SupernetEvaluator


def search_step(
    project: Project,
    evaluator: "Evaluator",
    *,
    feedback_rounds: int | None = None,
    tuner: "Tuner | None" = None,
    replay: bool = False,
    say: Say = silent,
    on_progress: "Callable[[SearchProgress], None]" = lambda progress: None,
    on_finals: "Callable[[FinalsProgress], None]" = lambda progress: None,
) -> "SearchResult":
    """Search the run's space for its system and write `pareto.json`.

    With a `tuner`, and unless the project says 0 finalists, the choice rests on networks that it fine-tuned.

    Every answer the search pays for is kept as it comes, so that stopped and started again it goes on where it was;
    `replay` answers from what was kept alone. A search that ended may be run again: it starts from the latency table as
    it is by then, and asks nothing it knows.

    Raises:
        ConfigError: the run's journal was made under other conditions, or lacks an answer in a replay.
        DeviceError: the latency table is empty.
    """
    from splitkit.bench.clock import TableClock
    from splitkit.bench.measure import measure_architecture
    from splitkit.latency.corrections import Corrections
    from splitkit.latency.measurement import Measurement
    from splitkit.latency.predictor import SystemPredictor
    from splitkit.latency.store import LutStore
    from splitkit.project.admission import refusal
    from splitkit.search import Feedback, Journal, save_result, search

    run, space, system = Run.of(project), project.load_space(), project.load_system()
    require_kernels(system, ("sensor", "aggregator"))
    journal = Journal(run.journal, conditions(project, run), replay=replay)
    if not replay and not (run.unfinished.exists() and run.snapshot.exists()):
        with LutStore(run.lut) as store:
            store.backup(run.snapshot)
    rounds = project.search.feedback_rounds if feedback_rounds is None else feedback_rounds
    with LutStore(run.snapshot) as store, TemporaryDirectory(prefix="splitkit-") as workdir:
        predictor, clock = SystemPredictor(space, system, store), TableClock(store, Path(workdir))
        if predictor.hop.unmeasured:
            say(f"link: {predictor.hop.label}")

        def refit(measurements: Sequence[Measurement]) -> "Predictor":
            corrections = Corrections.fit(predictor, measurements)
            write_json(run.corrections, corrections.to_json())
            return predictor.with_corrections(corrections)

        def measure(architecture: "Architecture") -> Measurement:
            say(f"measuring {architecture}")
            return measure_architecture(space, system, architecture, clock=clock, hop=predictor.hop)

        def progressed(state: "SearchProgress") -> None:
            run.unfinished.touch()  # only now: a search that failed at once must not keep its table for the next one
            on_progress(state)

        result = search(
            space,
            system,
            predictor,
            evaluator,
            project.search_config(),
            constraints=project.search_constraints(system),
            feedback=Feedback(
                measure=measure,
                load=Measurement.from_json,
                refit=refit,
                rounds=rounds,
                tolerance=project.search.feedback_tolerance,
                per_round=project.search.measured_per_round,
            ),
            finals=finals_of(project, tuner, on_finals),
            admissible=partial(refusal, space, system),
            journal=journal,
            on_progress=progressed,
        )
    result = replace(result, labels={**result.labels, "link": predictor.hop.label})
    save_result(result, run.pareto)
    run.unfinished.unlink(missing_ok=True)
    return result


def finals_of(
    project: Project,
    tuner: "Tuner | None",
    on_progress: "Callable[[FinalsProgress], None]" = lambda progress: None,
) -> "Finals | None":
    """How this project's finalists are tried; None if there are to be none."""
    from splitkit.search import Finals
    from splitkit.training.config import default_fine_tune_config

    section = project.search
    if tuner is None or section.finalists == 0:
        return None
    steps = section.finalist_steps or max(1, default_fine_tune_config(project.load_space()).steps // 8)
    return Finals(tuner=tuner, finalists=section.finalists, steps=steps, on_progress=on_progress)


def trained_evaluator(project: Project, supernet: "Supernet", data: "Dataset") -> "SupernetEvaluator":
    """Scores architectures with the run's supernet on the search slice of the training set."""
    from splitkit.training.evaluation import RANKING_IMAGES, SupernetEvaluator, calibration_images

    return SupernetEvaluator(supernet, data.search, calibration_images(data.train, RANKING_IMAGES, project.seed))


@contextmanager
def evaluator_on(address: str | None, evaluator: "SupernetEvaluator", say: Say = silent) -> "Iterator[Evaluator]":
    """The same scores from the Ray cluster at `address` (`local` starts one); without an address, from this process.

    Raises:
        ClusterError: the cluster cannot be reached, or Ray is not installed.
    """
    if address is None:
        yield evaluator
        return
    from splitkit.training.ray_cluster import ray_cluster
    from splitkit.training.ray_evaluation import RayEvaluator

    with ray_cluster(address) as processors:
        say(f"scoring on a Ray cluster of {processors} processors")
        yield RayEvaluator(evaluator)
