"""The steps of the loop on a run: train, measure kernels, search, export. Each resumes where it was stopped."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from splitkit.errors import ConfigError
from splitkit.project.config import DataSection, Project
from splitkit.project.run import Run
from splitkit.project.runtimes import require_kernels
from splitkit.scratch import replacing

if TYPE_CHECKING:
    from splitkit.bench.builder import BuildReport
    from splitkit.bench.builder import Progress as BuildProgress
    from splitkit.bundle import Bundle
    from splitkit.data import Dataset
    from splitkit.latency.hop import Hop
    from splitkit.profiles.schema import Side
    from splitkit.search import Evaluator, Finals, FinalsProgress, Point, Predictor, SearchResult, Tuner
    from splitkit.search.run import Progress as SearchProgress
    from splitkit.space import Architecture, SearchSpace
    from splitkit.supernet import SubNetwork, Supernet
    from splitkit.training import TrainedSupernet
    from splitkit.training.config import OptimiserConfig
    from splitkit.training.progress import Reporter

Say = Callable[[str], None]


def silent(text: str) -> None:
    """Say nothing."""


def load_data(
    project: Project, space: "SearchSpace", say: Say = silent, trained_on: Sequence[str] | None = None
) -> "Dataset":
    """The project's data set; files that could not be used are named through `say`.

    Raises:
        DataError: it is missing, malformed, has another number of classes than the space, or not the classes that a
            network was `trained_on`.
    """
    from splitkit.data import load_dataset

    reading = project.data.reading()
    data = load_dataset(project.data_source, space, project.seed, trained_on=trained_on, **reading)
    name_left_out(data.problems, say)
    return data


def name_left_out(problems: Sequence[str], say: Say) -> None:
    """One line for each file that a data set goes without, the first twenty of them."""
    for problem in problems[:20]:
        say(f"left out: {problem}")
    if len(problems) > 20:
        say(f"left out: {len(problems) - 20} more")


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


def open_run(project: Project, say: Say = silent) -> "tuple[Supernet, Dataset]":
    """The run's supernet, and the data set it was trained on.

    Raises:
        CheckpointError: the supernet is missing, truncated, of another space, or not trained to its end.
        DataError: the data set is missing or malformed, or its classes are not those of the supernet.
    """
    trained = _load_trained(project)
    return trained.supernet, load_data(project, project.load_space(), say, trained.classes)


def load_trained(project: Project) -> "Supernet":
    """The run's supernet.

    Raises:
        CheckpointError: it is missing, truncated, of another space, or not trained to its end.
    """
    return _load_trained(project).supernet


def begun_classes(project: Project) -> tuple[str, ...] | None:
    """The classes that the run's supernet is being trained on; None before it has a checkpoint.

    Raises:
        CheckpointError: it is truncated, or of another space.
    """
    from splitkit.training import load_supernet

    checkpoint = Run.of(project).supernet
    return load_supernet(checkpoint, project.load_space()).classes if checkpoint.exists() else None


def _load_trained(project: Project) -> "TrainedSupernet":
    from splitkit.errors import CheckpointError
    from splitkit.training import load_supernet

    run = Run.of(project)
    trained = load_supernet(run.supernet, project.load_space())
    if trained.step < trained.config.steps:
        raise CheckpointError(
            f"{run.supernet}: trained for {trained.step} of {trained.config.steps} steps",
            "splitkit train --resume finishes it",
        )
    return trained


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

    Where the system runs on this machine, also what its processes add to every frame, once.

    `tracker` and `key` replace those of profiles of kind `rpc`.

    Raises:
        ConfigError: a side's runtime does not name its kernels, or is not a board that a tracker finds.
        DeviceError: a side's device fails, or none of its boards is left.
        LinkError: the processes that play the system fail.
    """
    from splitkit.bench.networks import build_from_space
    from splitkit.devices.rpc.options import behind_tracker
    from splitkit.latency.store import LutStore
    from splitkit.runtime.calibration import calibrate

    run, space, system = Run.of(project), project.load_space(), project.load_system()
    require_kernels(system, sides)
    for side in sides:
        system = system.model_copy(update={side: behind_tracker(system.device(side), tracker, key)})
    run.lut.parent.mkdir(parents=True, exist_ok=True)
    with LutStore(run.lut) as store:
        reports: dict[str, BuildReport] = {
            side: build_from_space(
                store, space, system, side, budget_s=budget_s, seed=project.seed, progress=progress
            )
            for side in sides
        }  # fmt: skip
        calibrate(store, system, space.views)
    return reports


def hop_of(project: Project) -> "Hop":
    """What lies between the halves of the project's system, as its latency table has it."""
    from splitkit.latency.hop import Hop
    from splitkit.latency.store import LutStore

    with LutStore(Run.of(project).lut) as store:
        return Hop.of(store, project.load_system(), project.load_space().views)


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
    journal = Journal(run.journal, _conditions(project, run), replay=replay)
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
            finals=_finals(project, tuner, on_finals),
            admissible=partial(refusal, space, system),
            journal=journal,
            on_progress=progressed,
        )
    result = replace(result, labels={**result.labels, "link": predictor.hop.label})
    save_result(result, run.pareto)
    run.unfinished.unlink(missing_ok=True)
    return result


def _finals(
    project: Project, tuner: "Tuner | None", on_progress: "Callable[[FinalsProgress], None]"
) -> "Finals | None":
    """How this project's finalists are tried; None if there are to be none."""
    from splitkit.search import Finals
    from splitkit.training.config import default_fine_tune_config

    section = project.search
    if tuner is None or section.finalists == 0:
        return None
    steps = section.finalist_steps or max(1, default_fine_tune_config(project.load_space()).steps // 8)
    return Finals(tuner=tuner, finalists=section.finalists, steps=steps, on_progress=on_progress)


def trained_evaluator(project: Project, supernet: "Supernet", data: "Dataset") -> "Evaluator":
    """Scores architectures with the run's supernet on the search slice of the training set."""
    from splitkit.training.evaluation import RANKING_IMAGES, SupernetEvaluator, calibration_images

    return SupernetEvaluator(supernet, data.search, calibration_images(data.train, RANKING_IMAGES, project.seed))


def finalist_tuner(project: Project, supernet: "Supernet", data: "Dataset") -> "Tuner":
    """Fine-tunes finalists on the training images outside the search slice."""
    from splitkit.training.evaluation import calibration_images
    from splitkit.training.trial import FineTuner

    calibration = calibration_images(data.train, seed=project.seed)
    return FineTuner(supernet, data, calibration, _fine_tune_config(project))


def finish_network(
    project: Project, supernet: "Supernet", architecture: "Architecture", data: "Dataset", say: Say = silent
) -> "SubNetwork":
    """Extract an architecture and fine-tune it on all training images, the search slice included.

    The largest sub-network of the same placement teaches.
    """
    from splitkit.supernet import extract
    from splitkit.training import fine_tune
    from splitkit.training.evaluation import calibration_images

    calibration = calibration_images(data.train, seed=project.seed)
    network = extract(supernet, architecture, calibration)
    config = _fine_tune_config(project)
    if config.steps == 0:
        return network
    say(f"fine-tuning {architecture}")
    return fine_tune(network, data.all_training, data.augmentation, config)


def _fine_tune_config(project: Project) -> "OptimiserConfig":
    """The space's own schedule, for this project's seed and number of steps."""
    from splitkit.training import default_fine_tune_config

    config = default_fine_tune_config(project.load_space()).model_copy(update={"seed": project.seed})
    steps = project.train.fine_tune_steps
    return config if steps is None else config.model_copy(update={"steps": steps})


def export_step(
    project: Project,
    point: "Point",
    network: "SubNetwork",
    data: "Dataset",
    directory: Path,
    *,
    sign_key: Path | None = None,
    say: Say = silent,
) -> "Bundle":
    """Export, compile and verify one point of a front; its test accuracy is measured here, once, and kept.

    Raises:
        BundleError: `directory` holds something that splitkit did not write there.
        VerificationError: a half does not compute what the unsplit network does.
    """
    from splitkit.bundle.export import export_bundle
    from splitkit.training.evaluation import score_subnetwork
    from splitkit.tuning.tuned import tuned_system

    predicted = {
        "search_accuracy": point.accuracy,
        "test_accuracy": score_subnetwork(network, data.test).score.accuracy,
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
    return export_bundle(
        network, system, images, directory,
        classes=data.classes, pixels=data.pixels, predicted=predicted, sign_key=sign_key, progress=say,
    )  # fmt: skip


def pick_point(result: "SearchResult", index: int | None) -> "Point":
    """Point `index` of a search result, or by default the fastest of the points chosen for the systems.

    Raises:
        ConfigError: there is no such point, or the search found none.
    """
    if index is not None:
        if not 0 <= index < len(result.points):
            raise ConfigError(f"point {index}: the search has points 0 to {len(result.points) - 1}")
        return result.points[index]
    if not result.chosen:
        raise ConfigError("the search found nothing within the constraints", "loosen [constraints]")
    return min(result.best.values(), key=lambda point: point.total_us)


def check_search(project: Project, result: "SearchResult", parts: Sequence[str] = ("space", "supernet")) -> None:
    """Refuse a search that was made with other networks than the run has now.

    Raises:
        ConfigError: the space was changed since, or its supernet trained again; the changed field is named.
    """
    run, now = Run.of(project), _conditions(project, Run.of(project))
    for name in parts:
        if result.conditions.get(name, now[name]) != now[name]:
            what = f": {difference}" if name == "space" and (difference := _edited(project)) else ""
            raise ConfigError(
                f"{run.pareto}: the {name} is not the one that was searched{what}", "run `splitkit search` again"
            )


def _edited(project: Project) -> str | None:
    """The field in which the space differs from the one the run's supernet was trained with, where that can be read."""
    from splitkit.space.difference import space_difference
    from splitkit.training import load_supernet

    checkpoint = Run.of(project).supernet
    if not checkpoint.exists():
        return None
    return space_difference(load_supernet(checkpoint).supernet.space, project.load_space())


def _conditions(project: Project, run: Run) -> dict[str, str]:
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


def write_json(path: Path, body: Any) -> None:
    """Write a JSON file, whole or not at all."""
    with replacing(path) as partial:
        partial.write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")
