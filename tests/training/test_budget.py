"""Budgets in time become numbers of steps."""

from pathlib import Path

import torch

from splitkit.data import load_dataset
from splitkit.space import load_space
from splitkit.supernet import Supernet, extract
from splitkit.training import FineTuneConfig, TrainConfig, calibration_images, train
from splitkit.training.budget import fit_fine_tuning, fit_training, of_steps, steps_within
from tests.reliability.checkpoints import small_space


def test_a_budget_holds_as_many_steps_as_its_time_and_the_measuring_counts() -> None:
    now = [0.0]

    def take(number: int) -> None:
        now[0] += 10.0 if number == 0 else (1.0, 3.0)[number % 2]  # the first compiles; cheap and dear ones by turns

    assert steps_within(1000.0, take, 2, lambda: now[0]) == (1000 - 30) // 2  # a thirtieth and a bit is spent on trying
    now[0] = 0.0
    assert steps_within(1.0, take, 2, lambda: now[0]) == 1


def test_a_schedule_is_stretched_with_its_warm_up() -> None:
    config = of_steps(TrainConfig(steps=10, batch=8, learning_rate=0.1, warmup_steps=3), 400)
    assert (config.steps, config.warmup_steps, config.batch) == (400, 20, 8)


def test_training_fits_what_is_trained_and_leaves_it_alone(tmp_path: Path) -> None:
    space = small_space()
    data = load_dataset("digits", space)
    config = TrainConfig(steps=1, batch=8, learning_rate=1e-3, random_subnetworks=2)
    fitted = fit_training(0.5, space, data, config, "cpu")
    assert fitted.steps >= 1
    network = extract(Supernet(space), space.largest(2), calibration_images(data.train))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    schedule = FineTuneConfig(steps=1, batch=8, learning_rate=1e-3)
    assert fit_fine_tuning(0.5, network, data.train, data.augmentation, schedule).steps >= 1
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    trained = train(space, data, of_steps(config, 3), tmp_path / "a.pt", device="cpu")
    assert not torch.equal(next(trained.parameters()), next(Supernet(space, config.seed).parameters()))


def test_a_space_of_large_networks_takes_fewer_steps_in_the_same_time() -> None:
    config = TrainConfig(steps=1, batch=8, learning_rate=1e-3, random_subnetworks=2)
    small, large = (
        fit_training(2.0, space, load_dataset("digits", space), config, "cpu").steps
        for space in (small_space(), load_space("tiny"))
    )
    assert small > large
