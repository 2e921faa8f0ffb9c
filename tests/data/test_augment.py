"""Augmentation."""

import pytest
import torch
from torch import Tensor

from splitkit.data import Augmentation
from splitkit.data.augment import MirrorAndShift, move_and_turn


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def images() -> Tensor:
    smooth = torch.rand(16, 1, 3, 4, 4, generator=seeded(0)).flatten(0, 1)
    large = torch.nn.functional.interpolate(smooth, size=(32, 32), mode="bilinear")
    return (large * 255).to(torch.uint8)[:, None].expand(-1, 2, -1, -1, -1).contiguous()


@pytest.mark.parametrize("augment", [move_and_turn, MirrorAndShift(mirror=True)])
def test_images_change_but_stay_alike_and_follow_the_generator(augment: Augmentation, images: Tensor) -> None:
    changed = augment(images, seeded(1))
    assert changed.shape == images.shape
    assert changed.dtype == torch.uint8
    assert torch.equal(changed, augment(images, seeded(1)))
    assert not torch.equal(changed, augment(images, seeded(2)))
    assert ((changed != images).flatten(1).any(1)).float().mean() > 0.8
    assert (changed.float().mean() - images.float().mean()).abs() < 5


@pytest.mark.parametrize("augment", [move_and_turn, MirrorAndShift(mirror=True)])
def test_views_of_a_sample_move_together(augment: Augmentation, images: Tensor) -> None:
    changed = augment(images, seeded(1))
    assert torch.equal(changed[:, 0], changed[:, 1])


def test_mirroring_and_shifting_only_moves_whole_pixels(images: Tensor) -> None:
    changed = MirrorAndShift(mirror=True)(images, seeded(3))
    for before, after in zip(images[:, 0], changed[:, 0], strict=True):
        assert set(after.flatten().tolist()) <= set(before.flatten().tolist())
        candidates = [before, before.flip(-1)]
        centre = after[:, 12:20, 12:20]
        shifts = [
            c[:, 12 + dy : 20 + dy, 12 + dx : 20 + dx] for c in candidates for dy in range(-4, 5) for dx in range(-4, 5)
        ]
        assert any(torch.equal(centre, shift) for shift in shifts)


def test_without_mirroring_every_image_is_a_shifted_original(images: Tensor) -> None:
    changed = MirrorAndShift(mirror=False, shift=2)(images, seeded(4))
    for before, after in zip(images[:, 0], changed[:, 0], strict=True):
        centre = after[:, 8:24, 8:24]
        assert any(
            torch.equal(centre, before[:, 8 + dy : 24 + dy, 8 + dx : 24 + dx])
            for dy in range(-2, 3)
            for dx in range(-2, 3)
        )


def test_without_mirroring_and_shifting_images_are_left_alone(images: Tensor) -> None:
    assert torch.equal(MirrorAndShift(mirror=False, shift=0)(images, seeded(5)), images)
