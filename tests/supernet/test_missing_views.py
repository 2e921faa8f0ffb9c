"""Networks whose frames may lack views."""

import pytest
import torch
from torch import Tensor

from splitkit.space import load_space
from splitkit.space.search_space import Fusion
from splitkit.supernet import SubNetwork
from tests.networks import digit_images, random_architectures, space_of, subnetwork, with_link
from tests.space.strategies import FUSIONS, with_fusions

VIEWS = 4
PRESENT = torch.tensor([[1.0, 1.0, 0.0, 1.0]] * 8)


def network(fusion: Fusion, split: int) -> SubNetwork:
    space = with_fusions(space_of("tiny", VIEWS, masked=True), fusion)
    (architecture,) = random_architectures(space, 1, seed=5)
    return subnetwork(space, with_link(space, architecture, min(split, architecture.units), "float32"))


def images() -> Tensor:
    return torch.from_numpy(digit_images(VIEWS, frames=8))


@pytest.mark.parametrize("split", [0, 3, 99])
@pytest.mark.parametrize("fusion", FUSIONS)
@torch.no_grad()
def test_what_a_missing_view_shows_does_not_matter(fusion: Fusion, split: int) -> None:
    found, seen = network(fusion, split), images()
    other = seen.clone()
    other[:, 2] = 255 - other[:, 2]
    scores = found(seen, PRESENT)
    assert scores.std() > 0.01, "vanishing scores prove nothing"
    torch.testing.assert_close(found(other, PRESENT), scores, rtol=0, atol=0)
    assert (found(other) - scores).abs().max() > 1e-3, "with all views it does"


@pytest.mark.parametrize("fusion", FUSIONS)
@torch.no_grad()
def test_a_whole_frame_is_one_whose_views_are_all_there(fusion: Fusion) -> None:
    found, seen = network(fusion, 3), images()
    torch.testing.assert_close(found(seen, torch.ones(8, VIEWS)), found(seen), rtol=0, atol=0)


@pytest.mark.parametrize("fusion", ["mean", "max", "attention"])
@torch.no_grad()
def test_views_that_are_left_are_joined_as_if_there_were_no_others(fusion: Fusion) -> None:
    """A view in place of another one that it equals changes no mean, no maximum and no weighting."""
    found, seen = network(fusion, 3), images()
    seen[:, 1], seen[:, 2], seen[:, 3] = seen[:, 0], seen[:, 0], seen[:, 0]
    alone = torch.tensor([[1.0, 0.0, 0.0, 0.0]] * 8)
    torch.testing.assert_close(found(seen, alone), found(seen), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_late_scores_are_averaged_over_the_views_that_are_there() -> None:
    found, seen = network("concat", 99), images()
    assert found.sensor is not None
    scores = found.sensor(seen.flatten(0, 1)).unflatten(0, (8, VIEWS))
    expected = scores[:, [0, 1, 3]].mean(1)
    torch.testing.assert_close(found(seen, PRESENT), expected, rtol=1e-5, atol=1e-6)


def test_one_view_cannot_lack() -> None:
    tiny = load_space("tiny").model_dump()
    tiny["input"]["masked"] = True
    with pytest.raises(ValueError, match="masked: with one view there is none that may lack"):
        type(load_space("tiny")).model_validate(tiny)


def test_spaces_of_before_are_written_as_they_were() -> None:
    assert "masked" not in load_space("tiny").model_dump()["input"]
    assert space_of("tiny", 2, masked=True).model_dump()["input"]["masked"] is True
