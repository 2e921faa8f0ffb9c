"""One architecture of a search trained by itself, from random weights: what sharing weights cost or gave."""

from typing import TYPE_CHECKING

from splitkit.project.config import Project
from splitkit.project.run import Run
from splitkit.project.steps.data import Say, silent
from splitkit.project.steps.fine_tune import fine_tune_config, trained_alone

if TYPE_CHECKING:
    from splitkit.data import Dataset, SampleSource
    from splitkit.space import Architecture, SearchSpace
    from splitkit.supernet import SubNetwork
    from splitkit.training import FineTuneConfig


STANDALONE_STEPS = 4
"""Times the steps of fine-tuning, which begins with trained weights."""


def standalone_step(
    project: Project, architecture: "Architecture", index: int, data: "Dataset", say: Say = silent
) -> "SubNetwork":
    """Train an architecture from random weights and keep it in the run.

    The schedule is fine-tuning's, stretched to `train.steps` or `train.budget`.

    Args:
        index: of the point in the search's result; names the file.

    Raises:
        TrainingError: it diverged.
    """
    from splitkit.training.budget import of_steps

    say(f"training {architecture} from random weights")
    train, config = project.train, fine_tune_config(project)
    config = of_steps(config, train.steps or STANDALONE_STEPS * config.steps)
    network = train_from_nothing(project, project.load_space(), architecture, data, config, train.budget)
    kept = Run.of(project).standalone(index)
    kept.parent.mkdir(parents=True, exist_ok=True)
    network.save(kept)
    return network


def train_from_nothing(
    project: Project,
    space: "SearchSpace",
    architecture: "Architecture",
    data: "Dataset",
    config: "FineTuneConfig",
    budget_s: float | None = None,
    samples: "SampleSource | None" = None,
) -> "SubNetwork":
    """An architecture trained from random weights.

    Args:
        space: of the architecture; the project's own, or another one for the same images.
        config: schedule; with `budget_s`, stretched to so many seconds at the speed of now.
        samples: what to train on; all training images by default.

    Raises:
        TrainingError: it diverged.
    """
    from splitkit.supernet import Supernet, extract
    from splitkit.training.evaluation import calibration_images

    calibration = calibration_images(data.train, seed=project.seed)
    network = extract(Supernet(space, project.seed), architecture, calibration)
    lengths = {"fine_tune_steps": None if budget_s else config.steps, "fine_tune_budget": budget_s}
    project = project.model_copy(update={"train": project.train.model_copy(update=lengths)})
    return trained_alone(project, network, data, config, samples=samples)
