"""The steps of the loop on a run: train, measure kernels, search, export. Each resumes where it was stopped."""

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from splitkit.errors import ConfigError
from splitkit.project.config import Project
from splitkit.project.farm import behind_tracker
from splitkit.project.run import Run
from splitkit.project.runtimes import require_kernels

if TYPE_CHECKING:
    from splitkit.bench.builder import BuildReport
    from splitkit.bench.builder import Progress as BuildProgress
    from splitkit.bundle import Bundle
    from splitkit.data import Dataset
    from splitkit.profiles.schema import Side
    from splitkit.search import Evaluator, Point, Predictor, SearchResult
    from splitkit.search.run import Progress as SearchProgress
    from splitkit.space import Architecture, SearchSpace
    from splitkit.supernet import SubNetwork, Supernet
    from splitkit.training.progress import Reporter

Say = Callable[[str], None]


def silent(text: str) -> None:
    """Say nothing."""


def load_data(project: Project, space: "SearchSpace", say: Say = silent) -> "Dataset":
    """The project's data set; files that could not be used are named through `say`.

    Raises:
        DataError: it is missing, malformed, or has another number of classes than the space.
    """
    from splitkit.data import load_dataset

    data = load_dataset(project.data_source, space, project.seed, project.data.workers, project.data.search_images)
    for problem in data.problems[:20]:
        say(f"left out: {problem}")
    if len(data.problems) > 20:
        say(f"left out: {len(data.problems) - 20} more files")
    return data


def train_step(
    project: Project, data: "Dataset", *, resume: bool = False, report: "Reporter | None" = None
) -> "Supernet":
    """Train the supernet into the run's checkpoint.

    Raises:
        ConfigError: there is a checkpoint already and `resume` is false.
        CheckpointError: the checkpoint to resume is unreadable or of another space or schedule.
    """
    from splitkit.training import default_train_config, train

    run, space = Run.of(project), project.load_space()
    project.load_system()  # a mistake in it is better found now than after training
    if run.supernet.exists() and not resume:
        raise ConfigError(f"{run.supernet} exists", "add --resume to go on from it, or choose another --run")
    config = default_train_config(space).model_copy(update=project.train.overrides() | {"seed": project.seed})
    run.directory.mkdir(parents=True, exist_ok=True)
    return train(
        space, data, config, run.supernet, resume=resume, device=project.train.device, report=report
    )  # fmt: skip


def load_trained(project: Project) -> "Supernet":
    """The run's supernet.

    Raises:
        CheckpointError: it is missing, truncated, of another space, or not trained to its end.
    """
    from splitkit.errors import CheckpointError
    from splitkit.training import load_supernet

    run = Run.of(project)
    trained = load_supernet(run.supernet, project.load_space())
    if trained.step < trained.config.steps:
        raise CheckpointError(
            f"{run.supernet}: trained for {trained.step} of {trained.config.steps} steps",
            "splitkit train --resume finishes it",
        )
    return trained.supernet


def bench_step(
    project: Project,
    sides: Sequence["Side"],
    budget_s: float | None,
    progress: "BuildProgress",
    *,
    tracker: str | None = None,
    key: str | None = None,
) -> dict[str, "BuildReport"]:
    """Measure kernels of the space on the devices of these sides, most useful first, into the latency table.

    `tracker` and `key` replace those of profiles of kind `rpc`.

    Raises:
        ConfigError: a side's runtime does not name its kernels, or is not a board that a tracker finds.
        DeviceError: a side's device fails, or none of its boards is left.
    """
    from splitkit.bench.networks import build_from_space
    from splitkit.latency.store import LutStore

    run, space, system = Run.of(project), project.load_space(), project.load_system()
    require_kernels(system, sides)
    for side in sides:
        system = behind_tracker(system, side, tracker, key)
    run.lut.parent.mkdir(parents=True, exist_ok=True)
    with LutStore(run.lut) as store:
        return {
            side: build_from_space(
                store, space, system, side, budget_s=budget_s, seed=project.seed, progress=progress
            )
            for side in sides
        }  # fmt: skip


def search_step(
    project: Project,
    evaluator: "Evaluator",
    *,
    feedback_rounds: int | None = None,
    replay: bool = False,
    say: Say = silent,
    on_progress: "Callable[[SearchProgress], None]" = lambda progress: None,
) -> "SearchResult":
    """Search the run's space for its system and write `pareto.json`.

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
    journal = Journal(run.journal, _conditions(project, run), replay=replay)
    if not replay and not (run.unfinished.exists() and run.snapshot.exists()):
        with LutStore(run.lut) as store:
            store.backup(run.snapshot)
    rounds = project.search.feedback_rounds if feedback_rounds is None else feedback_rounds
    with LutStore(run.snapshot) as store, TemporaryDirectory(prefix="splitkit-") as workdir:
        predictor, clock = SystemPredictor(space, system, store), TableClock(store, Path(workdir))

        def refit(measurements: Sequence[Measurement]) -> "Predictor":
            corrections = Corrections.fit(predictor, measurements)
            write_json(run.corrections, corrections.to_json())
            return predictor.with_corrections(corrections)

        def measure(architecture: "Architecture") -> Measurement:
            say(f"measuring {architecture}")
            return measure_architecture(space, system, architecture, clock=clock)

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
            admissible=partial(refusal, space, system),
            journal=journal,
            on_progress=progressed,
        )
    save_result(result, run.pareto)
    run.unfinished.unlink(missing_ok=True)
    return result


def trained_evaluator(project: Project, supernet: "Supernet", data: "Dataset") -> "Evaluator":
    """Scores architectures with the run's supernet on the search slice of the training set."""
    from splitkit.training.evaluation import SupernetEvaluator, calibration_images

    return SupernetEvaluator(supernet, data.search, calibration_images(data.train, seed=project.seed))


def finish_network(
    project: Project, supernet: "Supernet", architecture: "Architecture", data: "Dataset", say: Say = silent
) -> "SubNetwork":
    """Extract an architecture and fine-tune it on all training images, the search slice included.

    The largest sub-network of the same placement teaches.
    """
    from splitkit.supernet import extract
    from splitkit.training import default_fine_tune_config, fine_tune
    from splitkit.training.evaluation import calibration_images

    calibration = calibration_images(data.train, seed=project.seed)
    network = extract(supernet, architecture, calibration)
    config = default_fine_tune_config(project.load_space()).model_copy(update={"seed": project.seed})
    if project.train.fine_tune_steps is not None:
        config = config.model_copy(update={"steps": project.train.fine_tune_steps})
    if config.steps == 0:
        return network
    say(f"fine-tuning {architecture}")
    return fine_tune(network, data.all_training, data.augmentation, config)


def export_step(
    project: Project,
    point: "Point",
    network: "SubNetwork",
    data: "Dataset",
    directory: Path,
    *,
    say: Say = silent,
) -> "Bundle":
    """Export, compile and verify one point of a front; its test accuracy is measured here, once, and kept.

    Raises:
        BundleError: `directory` exists and is not a bundle.
        VerificationError: a half does not compute what the unsplit network does.
    """
    from splitkit.bundle.export import export_bundle
    from splitkit.training.evaluation import score_subnetwork
    from splitkit.tuning.tuned import tuned_system

    predicted = {
        "search_accuracy": point.accuracy,
        "test_accuracy": score_subnetwork(network, data.test),
        "sensor_us": point.sensor_us,
        "link_us": point.link_us,
        "aggregator_us": point.aggregator_us,
        "total_us": point.total_us,
    }
    if project.runtimes:  # predictions are of the kernels of the compiler that was searched with
        for stage in ("total", *project.runtimes):
            del predicted[f"{stage}_us"]
    images = data.search.images[:256].numpy()
    system = tuned_system(project.load_system(), Run.of(project).export_tuning)
    return export_bundle(network, system, images, directory, predicted=predicted, progress=say)


def standard_error(accuracy: float, images: int) -> float:
    """Of an accuracy estimated on so many images (binomial): what the search slice cannot tell apart."""
    return math.sqrt(accuracy * (1 - accuracy) / images)


def best_points(result: "SearchResult", images: int) -> "dict[str, Point]":
    """For each system the fastest point as accurate as all of them can be, to one standard error of the search slice.

    Systems without a point within the constraints are left out. `images` is the size of the search slice.
    """
    from splitkit.search import fastest_at, reference_accuracy

    reference = reference_accuracy([result.front(name) for name in result.fronts])
    tolerance = standard_error(reference, images)
    found = {name: fastest_at(result.front(name), reference, tolerance) for name in result.fronts}
    return {name: point for name, point in found.items() if point is not None}


def pick_point(result: "SearchResult", index: int | None, images: int) -> "Point":
    """Point `index` of a search result, or by default the fastest of the systems' `best_points`.

    Raises:
        ConfigError: there is no such point, or the search found none.
    """
    if index is not None:
        if not 0 <= index < len(result.points):
            raise ConfigError(f"point {index}: the search has points 0 to {len(result.points) - 1}")
        return result.points[index]
    best = best_points(result, images)
    if not best:
        raise ConfigError("the search found nothing within the constraints", "loosen [constraints]")
    return min(best.values(), key=lambda point: point.total_us)


def _conditions(project: Project, run: Run) -> dict[str, str]:
    """What a search's answers depend on: the space, the system, the weights, the data."""
    return {
        "space": _digest(project.load_space().model_dump_json().encode()),
        "system": _digest(project.load_system().model_dump_json().encode()),
        "supernet": _digest(run.supernet.read_bytes()) if run.supernet.exists() else "none",
        "data": f"{project.data.source} seed {project.seed}",
    }


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def write_json(path: Path, body: Any) -> None:
    """Write a JSON file, whole or not at all."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")
    temporary.replace(path)
