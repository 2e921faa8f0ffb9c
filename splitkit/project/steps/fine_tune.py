"""Networks of a run fine-tuned: to choose among them, and to be deployed."""

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING

from splitkit.project.config import Project
from splitkit.project.steps.data import Say, silent

if TYPE_CHECKING:
    from splitkit.data import Dataset
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
) -> "SubNetwork":
    """A sub-network's own weights trained on all training images, in place, for the project's steps or time."""
    from splitkit.training import fine_tune
    from splitkit.training.budget import fit_fine_tuning

    samples = data.all_training
    if project.train.fine_tune_budget is not None:
        budget_s = project.train.fine_tune_budget
        config = fit_fine_tuning(budget_s, network, samples, data.augmentation, config, teacher)
    if config.steps:
        fine_tune(network, samples, data.augmentation, config, teacher=teacher, report=lambda _: check())
    return network


def fine_tune_config(project: Project) -> "FineTuneConfig":
    """The space's own schedule, for this project's seed and number of steps."""
    from splitkit.training import default_fine_tune_config

    config = default_fine_tune_config(project.load_space()).model_copy(update={"seed": project.seed})
    steps = project.train.fine_tune_steps
    return config if steps is None else config.model_copy(update={"steps": steps})
