"""Fine-tuning keeps what it has done in the run."""

from concurrent.futures import CancelledError
from pathlib import Path

import pytest
import torch

from splitkit.data import load_dataset
from splitkit.project import Project, Run
from splitkit.project.config import TrainSection
from splitkit.project.steps.fine_tune import fine_tune_config, trained_alone
from splitkit.space import load_space
from splitkit.supernet import SubNetwork, Supernet, extract
from splitkit.training import calibration_images, finetune_checkpoint

SPACE = load_space("tiny")
DATA = load_dataset("digits", SPACE)


def fresh() -> SubNetwork:
    return extract(Supernet(SPACE), SPACE.smallest(2), calibration_images(DATA.train))


class Checks:
    """Counts steps; from `most` on nobody waits for the result any more."""

    def __init__(self, most: int = 99) -> None:
        self.most, self.seen = most, 0

    def __call__(self) -> None:
        self.seen += 1
        if self.seen == self.most:
            raise CancelledError


def test_a_training_that_was_stopped_goes_on_and_one_that_ended_is_used_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finetune_checkpoint, "SAVE_EVERY_S", 0)

    def tuned(where: str, seed: int = 0, stop: int = 99) -> tuple[SubNetwork, int]:
        project = Project(
            space="tiny", system="hmd", root=tmp_path / where, seed=seed, train=TrainSection(fine_tune_steps=6)
        )
        checks = Checks(stop)
        network = trained_alone(project, fresh(), DATA, fine_tune_config(project), check=checks)
        return network, checks.seen

    whole, steps = tuned("whole")
    assert steps == 6
    with pytest.raises(CancelledError):
        tuned("stopped", stop=4)
    gone_on, steps = tuned("stopped")
    assert steps == 3
    again, steps = tuned("stopped")
    assert steps == 0
    for network in (gone_on, again):
        for name, value in whole.state_dict().items():
            assert torch.equal(value, network.state_dict()[name]), name
    _, steps = tuned("stopped", seed=1)  # another order of the images: another training
    assert steps == 6
    run = Run.of(Project(space="tiny", system="hmd", root=tmp_path / "stopped"))
    assert len(list(run.fine_tuned("x").parent.iterdir())) == 2
    run.forget()
    assert not run.fine_tuned("x").parent.exists()
