from pathlib import Path

import torch

from splitkit.data import load_dataset
from splitkit.supernet import extract
from splitkit.training import FineTuneConfig, TrainConfig, calibration_images, fine_tune, score_subnetwork, train
from splitkit.training.view_dropout import drop_views, present_views
from tests.networks import space_of


def test_views_are_left_out_as_often_as_asked_and_never_all() -> None:
    present = present_views(4000, 4, 0.25, seed=1, step=7)
    assert present.shape == (4000, 4)
    assert set(present.unique().tolist()) == {0.0, 1.0}
    assert present.sum(1).min() >= 1
    assert abs(float(present.mean()) - 0.75) < 0.02
    assert present_views(4000, 4, 0.999, seed=1, step=7).sum(1).min() == 1
    assert present_views(100, 4, 0.0, seed=1, step=7).min() == 1


def test_a_step_leaves_out_the_same_views_whenever_it_is_taken() -> None:
    torch.testing.assert_close(present_views(64, 4, 0.5, 3, 11), present_views(64, 4, 0.5, 3, 11))
    assert not torch.equal(present_views(64, 4, 0.5, 3, 11), present_views(64, 4, 0.5, 3, 12))
    assert not torch.equal(present_views(64, 4, 0.5, 3, 11), present_views(64, 4, 0.5, 4, 11))


def test_only_spaces_whose_views_may_lack_lose_any() -> None:
    config = TrainConfig(steps=1, batch=8, learning_rate=1e-3)
    assert drop_views(space_of("tiny", 4), config, 8, 0) is None
    assert drop_views(space_of("tiny", 4, masked=True), config, 8, 0) is not None


def test_networks_trained_with_missing_views_are_good_without_them(tmp_path: Path) -> None:
    """Of a frame's four views of the same digit any two tell nearly as much."""
    space = space_of("tiny", 4, masked=True)
    data = load_dataset("digits", space, search_images=287)
    schedule = {"steps": 60, "batch": 32, "optimiser": "muon", "warmup_steps": 6}
    config = TrainConfig(**schedule, learning_rate=0.07, random_subnetworks=1, largest_alone=0.5)
    supernet = train(space, data, config, tmp_path / "supernet.pt", device="cpu")
    network = extract(supernet, space.smallest(3), calibration_images(data.train))
    fine_tune(network, data.train, data.augmentation, FineTuneConfig(**schedule, learning_rate=0.05))
    whole = score_subnetwork(network, data.search).score.accuracy
    without_two = score_subnetwork(network, data.search, [True, False, True, False]).score.accuracy
    assert whole > 0.6
    assert without_two > whole - 0.25
