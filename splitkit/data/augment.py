"""Random changes to training images, whole batches at a time, drawn from a given generator only.

All views of a sample move together: they show one scene.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


def move_and_turn(images: Tensor, generator: torch.Generator) -> Tensor:
    """Shift by up to 6 % of the side, turn by up to 8 degrees, scale and squeeze by up to 10 %: for drawn characters.

    Args:
        images: uint8 (n, views, channels, size, size).
        generator: on the CPU, wherever the images are.
    """
    n, views = images.shape[:2]

    def uniform(limit: float) -> Tensor:
        return (torch.rand(n, generator=generator) * 2 - 1) * limit

    angle, width, height = uniform(math.radians(8)), torch.exp(uniform(0.1)), torch.exp(uniform(0.1))
    cos, sin = torch.cos(angle), torch.sin(angle)
    # affine_grid's coordinates span 2 from edge to edge: 0.12 is 6 % of the side.
    rows = [cos * width, -sin * height, uniform(0.12), sin * width, cos * height, uniform(0.12)]
    theta = torch.stack(rows, dim=1).view(n, 2, 3).repeat_interleave(views, dim=0).to(images.device)
    flat = images.flatten(0, 1)
    grid = F.affine_grid(theta, list(flat.shape), align_corners=False)
    moved = F.grid_sample(flat.float(), grid, padding_mode="border", align_corners=False)
    return moved.round().clamp(0, 255).to(torch.uint8).view_as(images)


@dataclass(frozen=True, slots=True)
class MirrorAndShift:
    """For photographs: mirror every other image, shift by up to so many pixels, edges reflected.

    Attributes:
        mirror: off for what a mirror changes: text, signs, hands.
        shift: most pixels, up, down, left and right; None is an eighth of the side.
    """

    mirror: bool
    shift: int | None = None

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Args and shapes as in `move_and_turn`."""
        n, size = len(images), images.shape[-1]
        reach = size // 8 if self.shift is None else self.shift
        mirrored = torch.rand(n, generator=generator) < (0.5 if self.mirror else 0)
        top = torch.randint(2 * reach + 1, (n,), generator=generator)
        left = torch.randint(2 * reach + 1, (n,), generator=generator)
        rows = _reflected(torch.arange(size)[None] + top[:, None] - reach, size)
        columns = _reflected(torch.arange(size)[None] + left[:, None] - reach, size)
        columns = torch.where(mirrored[:, None], columns.flip(1), columns)
        rows, columns = rows.to(images.device), columns.to(images.device)
        sample = torch.arange(n, device=images.device)[:, None, None]
        # Indexed dimensions come first: (n, size, size, views, channels).
        return images[sample, :, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 4, 1, 2).contiguous()


def _reflected(index: Tensor, size: int) -> Tensor:
    index = index.abs()
    return torch.where(index >= size, 2 * (size - 1) - index, index)
