"""Networks of a run fine-tuned: to choose among them, and to be deployed."""

from collections.abc import Generator, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING

from splitkit.project.config import Project
from splitkit.project.run import Run
from splitkit.project.steps.data import Say, silent

if TYPE_CHECKING:
    from splitkit.data import Dataset, SampleSource
    from splitkit.search import Tuner
    from splitkit.space import Architecture
    from splitkit.supernet import SubNetwork, Supernet
    from splitkit.training import FineTuneConfig
    from splitkit.training.finetune import Teacher
    from splitkit.training.parallel import Check


def finalist_tuner(project: Project, supernet: "Supernet", data: "Dataset") -> "Tuner":
    """Fine-tunes finalists on the training images outside the search slice."""
    from splitkit.training.evaluation import calibration_images
    from splitkit.training.trial import FineTuner

    calibration = calibration_images(data.train, seed=project.seed)
    return FineTuner(supernet, data, calibration, fine_tune_config(project))


def finish_networks(
    project: Project,
    supernet: "Supernet",
    architectures: "Sequence[Architecture]",
    data: "Dataset",
    say: Say = silent,
) -> "Generator[SubNetwork, None, None]":
    """Extract architectures and fine-tune them on all training images, the search slice included; in order.

    With `train.fine_tune_budget` each is trained for that time, at the speed of then: others of them run beside it.
    """
    from splitkit.supernet import extract
    from splitkit.training.evaluation import calibration_images
    from splitkit.training.finetune import largest_network
    from splitkit.training.parallel import Check, in_parallel

    calibration = calibration_images(data.train, seed=project.seed)
    config = fine_tune_config(project)
    teacher = largest_network(supernet, calibration) if config.distillation else None

    def finish(architecture: "Architecture", check: Check) -> "SubNetwork":
        say(f"fine-tuning {architecture}")
        return trained_alone(project, extract(supernet, architecture, calibration), data, config, teacher, check)

    return in_parallel(finish, supernet, architectures, config.batch)


def trained_alone(
    project: Project,
    network: "SubNetwork",
    data: "Dataset",
    config: "FineTuneConfig",
    teacher: "Teacher | None" = None,
    check: "Check" = lambda: None,
    samples: "SampleSource | None" = None,
) -> "SubNetwork":
    """A sub-network's own weights trained on `samples`, in place, for the project's steps or time.

    Where the run has the same training already, or a part of it, it goes on from there.

    Args:
        samples: all training images by default, the search slice included.
    """
    from splitkit.training import FineTuning
    from splitkit.training.budget import fit_fine_tuning
    from splitkit.training.finetune_checkpoint import fine_tune_resumably, resumed

    samples, budget_s = samples or data.all_training, project.train.fine_tune_budget
    kept = Run.of(project).fine_tuned(_identity(project, network, data.classes, samples, config))
    if kept.exists():
        tuning = resumed(kept, network, samples, data.augmentation, teacher)
    else:
        if budget_s is not None:
            config = fit_fine_tuning(budget_s, network, samples, data.augmentation, config, teacher)
        tuning = FineTuning(network, samples, data.augmentation, config, teacher)
    fine_tune_resumably(kept, tuning, lambda _: check())
    return network


def _identity(
    project: Project,
    network: "SubNetwork",
    classes: tuple[str, ...],
    samples: "SampleSource",
    config: "FineTuneConfig",
) -> str:
    """Of a training: the weights and calibration it begins with, what it learns from, and its schedule or time."""
    from splitkit.training.ranks import weights_digest

    budget_s, labels = project.train.fine_tune_budget, samples.labels
    schedule = config if budget_s is None else config.model_copy(update={"steps": 0})
    facts = network.architecture, schedule, budget_s, project.data.reading(), classes, len(labels), labels.sum()
    return sha256(weights_digest(network) + repr(facts).encode()).hexdigest()[:16]


def fine_tune_config(project: Project) -> "FineTuneConfig":
    """The space's own schedule, for this project's seed and number of steps."""
    from splitkit.training import default_fine_tune_config
    from splitkit.training.optimise import pick_device
    from splitkit.training.precision import pick_precision

    space = project.load_space()
    precision = pick_precision(project.train.precision, space, pick_device(project.train.device))
    config = default_fine_tune_config(space).model_copy(update={"seed": project.seed, "precision": precision})
    steps = project.train.fine_tune_steps
    return config if steps is None else config.model_copy(update={"steps": steps})
