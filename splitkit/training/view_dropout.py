"""Views left out in training, so that a sensor that is dead or late makes a frame worse instead of useless."""

import torch
from torch import Tensor

from splitkit.space.search_space import SearchSpace
from splitkit.training.chance import VIEWS, generator_for
from splitkit.training.config import OptimiserConfig


def present_views(frames: int, views: int, dropout: float, seed: int, step: int) -> Tensor:
    """Which views of each frame are there in one step of training.

    Each is left out with probability `dropout`; of a frame that would lose all of them one, drawn at random, stays.

    Returns:
        float32 (frames, views), 1 or 0.
    """
    drawn = torch.rand(frames, views, generator=generator_for(seed, VIEWS, step))
    present = drawn >= dropout
    return (present | (drawn == drawn.amax(1, keepdim=True))).float()


def drop_views(space: SearchSpace, config: OptimiserConfig, frames: int, step: int) -> Tensor | None:
    """`present_views` of a training; None in a space whose frames have all their views."""
    if not space.input.masked:
        return None
    return present_views(frames, space.views, config.view_dropout, config.seed, step)
