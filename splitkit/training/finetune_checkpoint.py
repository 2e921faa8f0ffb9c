"""Fine-tuning that goes on where it was stopped."""

import time
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from splitkit.data import Augmentation, SampleSource
from splitkit.supernet import SubNetwork
from splitkit.supernet.storage import fill, header_of, read_checkpoint, tensors_of, write_checkpoint
from splitkit.training.config import FineTuneConfig
from splitkit.training.finetune import FineTuning, Teacher
from splitkit.training.moments import check_moments, moments_of, restore_moments
from splitkit.training.optimise import first_not_finite
from splitkit.training.progress import Reporter, StepReport

FORMAT = "splitkit fine-tuning"

SAVE_EVERY_S = 60.0


class Header(BaseModel):
    """The plain values of a checkpoint: the schedule, and what is behind it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    config: FineTuneConfig
    step: Annotated[int, Field(ge=0, strict=True)]
    parts: Annotated[int, Field(ge=1, le=4096, strict=True)] | None


def fine_tune_resumably(path: Path, tuning: FineTuning, report: Reporter) -> None:
    """Take all steps that are left, leaving the state in `path` every minute and, with the final weights, at the end.

    Args:
        path: of the checkpoint.
        tuning: with a `FineTuneConfig`.
        report: told of every step; what it raises ends the training, which then goes on from the last minute.

    Raises:
        CheckpointError: `path` cannot be written.
        TrainingError: it diverged.
    """
    saved_at = time.monotonic()

    def keep(state: StepReport) -> None:
        nonlocal saved_at
        report(state)
        if time.monotonic() - saved_at > SAVE_EVERY_S and first_not_finite(tuning.subnetwork) is None:
            _save(path, tuning)
            saved_at = time.monotonic()

    if tuning.step < tuning.config.steps:
        tuning.advance(tuning.config.steps, keep)
        _save(path, tuning)


def resumed(
    path: Path,
    subnetwork: SubNetwork,
    samples: SampleSource,
    augmentation: Augmentation,
    teacher: Teacher | None = None,
) -> FineTuning:
    """What `fine_tune_resumably` left in `path`; from there on the steps are those of a run that was not stopped.

    Args:
        subnetwork: of the same architecture; its weights are replaced. The others are as they were.

    Raises:
        CheckpointError: the file is damaged, or of another network.
    """
    body = read_checkpoint(path, FORMAT)
    header = header_of(path, body, Header, tensors=("weights", "optimiser"))
    weights = tensors_of(path, "weights", body.get("weights"), subnetwork.state_dict())
    check_moments(path, body.get("optimiser"), subnetwork, header.config, header.step)
    fill(subnetwork.state_dict(), weights)
    tuning = FineTuning(subnetwork, samples, augmentation, header.config, teacher)
    tuning.step, tuning.parts = header.step, header.parts
    restore_moments(subnetwork, tuning.optimiser, body["optimiser"])
    return tuning


def _save(path: Path, tuning: FineTuning) -> None:
    assert isinstance(tuning.config, FineTuneConfig)
    header = Header(config=tuning.config, step=tuning.step, parts=tuning.parts)
    done = tuning.step == tuning.config.steps
    moments = {} if done else moments_of(tuning.subnetwork, tuning.optimiser, tuning.config)
    state = {"weights": tuning.subnetwork.state_dict(), "optimiser": moments}
    write_checkpoint(path, FORMAT, header.model_dump(mode="json") | state)
