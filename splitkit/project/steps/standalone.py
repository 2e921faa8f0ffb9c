"""One architecture of a search trained by itself, from random weights: what sharing weights cost or gave."""

from typing import TYPE_CHECKING

from splitkit.project.config import Project
from splitkit.project.run import Run
from splitkit.project.steps.data import Say, silent
from splitkit.project.steps.fine_tune import fine_tune_config, trained_alone

if TYPE_CHECKING:
    from splitkit.data import Dataset
    from splitkit.space import Architecture
    from splitkit.supernet import SubNetwork


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
    from splitkit.supernet import Supernet, extract
    from splitkit.training.budget import of_steps
    from splitkit.training.evaluation import calibration_images

    run, train = Run.of(project), project.train
    calibration = calibration_images(data.train, seed=project.seed)
    network = extract(Supernet(project.load_space(), project.seed), architecture, calibration)
    config = fine_tune_config(project)
    config = of_steps(config, train.steps or STANDALONE_STEPS * config.steps)
    timed = train.budget is not None
    lengths = {"fine_tune_steps": None if timed else config.steps, "fine_tune_budget": train.budget}
    say(f"training {architecture} from random weights")
    project = project.model_copy(update={"train": train.model_copy(update=lengths)})
    trained_alone(project, network, data, config)
    run.standalone(index).parent.mkdir(parents=True, exist_ok=True)
    network.save(run.standalone(index))
    return network
