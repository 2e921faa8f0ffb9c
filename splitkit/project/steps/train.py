"""Training the supernets into the run, and finding them there."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from splitkit.errors import ConfigError
from splitkit.project.config import Project
from splitkit.project.run import Run
from splitkit.project.steps.data import Say, load_data, silent

if TYPE_CHECKING:
    from splitkit.data import Dataset
    from splitkit.space import SearchSpace
    from splitkit.supernet import Supernet
    from splitkit.training import TrainConfig, TrainedSupernet
    from splitkit.training.config import Precision
    from splitkit.training.progress import Reporter
    from splitkit.training.ranks import Ranks


@dataclass(frozen=True)
class Init:
    """Where training begins, instead of at random weights.

    Attributes:
        source: name of another run, a checkpoint of `splitkit train`, or a torch checkpoint of a single network.
        table: for the last, what goes where; see `splitkit.supernet.foreign`.
    """

    source: str
    table: Path | None = None


def train_step(
    project: Project,
    data: "Dataset",
    *,
    resume: bool = False,
    init: Init | None = None,
    report: "Reporter | None" = None,
    say: Say = silent,
    ranks: "Ranks | None" = None,
) -> "Supernet":
    """Train the supernet into the run's checkpoint; with `train.budget`, for that time (see `fit_training`);
    alone, or with other `ranks`.

    Raises:
        ConfigError: there is a checkpoint already and `resume` is false.
        CheckpointError: the checkpoint to resume is unreadable or of another space or schedule, or that of `init` does
            not fit.
    """
    from splitkit.training import default_train_config, load_supernet, train
    from splitkit.training.budget import fit_training
    from splitkit.training.ranks import Alone

    run, space = Run.of(project), project.load_space()
    project.load_system()  # a mistake in it is better found now than after training
    if run.supernet.exists() and not resume:
        raise ConfigError(f"{run.supernet} exists", "add --resume to go on from it, or choose another --run")
    begun = load_supernet(run.supernet, space).config if run.supernet.exists() else None
    config = default_train_config(space).model_copy(update=project.train.overrides() | {"seed": project.seed})
    config = config.model_copy(update={"precision": _precision(project, space, begun, ranks or Alone())})
    prepare = _initialiser(project, init, say) if init else lambda supernet: None
    if project.train.budget is not None:
        if begun is not None:  # resumed: its length was chosen when it began
            config = config.model_copy(update=_length(begun))
        else:
            config = fit_training(project.train.budget, space, data, config, project.train.device, ranks)
            say(f"{config.steps} steps in {project.train.budget / 60:.3g} min, at the speed of now")
    run.directory.mkdir(parents=True, exist_ok=True)
    return train(
        space, data, config, run.supernet,
        resume=resume, device=project.train.device, report=report, ranks=ranks, say=say, prepare=prepare,
    )  # fmt: skip


def _initialiser(project: Project, init: Init, say: Say) -> "Callable[[Supernet], None]":
    """Fills a fresh supernet; what it reads is read now."""
    from splitkit.errors import CheckpointError
    from splitkit.supernet.foreign import adopt, load_table, load_tensors
    from splitkit.supernet.inherit import inherit
    from splitkit.training import load_supernet

    is_file = Path(init.source).suffix != "" or "/" in init.source
    path = Path(init.source) if is_file else Run.of(project.model_copy(update={"run": init.source})).supernet
    if init.table is not None:
        table, tensors = load_table(init.table), load_tensors(path)

        def fill(supernet: "Supernet") -> None:
            say(f"{adopt(supernet, tensors, table, str(path))} layers begin with the weights of {path}")

    else:
        source = load_supernet(path).supernet

        def fill(supernet: "Supernet") -> None:
            try:
                kept = inherit(supernet, source.to(next(supernet.parameters()).device))
            except CheckpointError as error:
                hint = "begin with a supernet of the same space or a larger one"
                raise CheckpointError(f"{path}: {error}", hint) from error
            rest = f", all but {', '.join(kept)}" if kept else ""
            say(f"begins with the weights of {path}{rest}")

    return fill


def _precision(project: Project, space: "SearchSpace", begun: "TrainConfig | None", ranks: "Ranks") -> "Precision":
    """As the project says; if that is `auto`, as training began or as the first rank's device likes it."""
    from splitkit.training.optimise import pick_device
    from splitkit.training.precision import pick_precision

    wanted = project.train.precision
    if wanted == "auto" and begun is not None:
        return begun.precision
    picked = pick_precision(wanted, space, pick_device(ranks.device(project.train.device)))
    return "bfloat16" if ranks.from_first(int(picked == "bfloat16")) else "float32"


def _length(config: "TrainConfig") -> dict[str, int]:
    return {"steps": config.steps, "warmup_steps": config.warmup_steps}


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
