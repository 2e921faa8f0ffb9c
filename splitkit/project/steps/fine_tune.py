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
    from splitkit.training.config import OptimiserConfig


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
    """Extract architectures and fine-tune them on all training images, the search slice included; in order."""
    from splitkit.supernet import extract
    from splitkit.training import fine_tune
    from splitkit.training.evaluation import calibration_images
    from splitkit.training.parallel import Check, in_parallel

    calibration = calibration_images(data.train, seed=project.seed)
    config = fine_tune_config(project)
    samples = data.all_training

    def finish(architecture: "Architecture", check: Check) -> "SubNetwork":
        network = extract(supernet, architecture, calibration)
        if config.steps:
            say(f"fine-tuning {architecture}")
            fine_tune(network, samples, data.augmentation, config, report=lambda _: check())
        return network

    return in_parallel(finish, supernet, architectures, config.batch)


def fine_tune_config(project: Project) -> "OptimiserConfig":
    """The space's own schedule, for this project's seed and number of steps."""
    from splitkit.training import default_fine_tune_config

    config = default_fine_tune_config(project.load_space()).model_copy(update={"seed": project.seed})
    steps = project.train.fine_tune_steps
    return config if steps is None else config.model_copy(update={"steps": steps})
