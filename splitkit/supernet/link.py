"""What the link does to a tensor: float16 and affine uint8, with straight-through gradients for training.

Affine quantisation as in Jacob et al., CVPR 2018, section 2.1: q = clip(round(x / scale) + zero_point, 0, 255) and
x' = (q - zero_point) * scale, one scale per tensor. The range is widened to hold zero and the zero point is a whole
number, so zero is exact.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

LEVELS = 255
_LEAST_SCALE = 1e-8


@dataclass(frozen=True, slots=True)
class Quantisation:
    """Scale and zero point of a uint8 link; scalars, the zero point a whole number in 0..255."""

    scale: Tensor
    zero_point: Tensor

    @classmethod
    def covering(cls, low: Tensor, high: Tensor) -> "Quantisation":
        """The finest grid over [low, high] (scalars) on which zero is exact."""
        low, high = low.float().clamp(max=0.0), high.float().clamp(min=0.0)
        scale = ((high - low) / LEVELS).clamp(min=_LEAST_SCALE)
        return cls(scale, torch.round(-low / scale).clamp(0, LEVELS))


def fake_uint8(x: Tensor, quantisation: Quantisation) -> Tensor:
    """`x` as it arrives over a uint8 link, float32; the gradient passes where the value was not clipped."""
    scale, zero_point = quantisation.scale, quantisation.zero_point
    codes = straight_through_codes(x, 1 / scale, zero_point)
    return (codes - zero_point) * scale


def straight_through_codes(x: Tensor, inverse_scale: Tensor, zero_point: Tensor) -> Tensor:
    """uint8 codes of `x` as floats: rounding is straight-through, clipping is not."""
    position = x.float() * inverse_scale + zero_point
    # Both differences are exact in float32, so the result is a whole number.
    rounded = position - (position - torch.round(position)).detach()
    return rounded.clamp(0, LEVELS)


def fake_float16(x: Tensor) -> Tensor:
    """`x` as it arrives over a float16 link, float32, with the gradient of the identity."""
    # A plain cast would also send the gradient through float16, where small ones vanish.
    x = x.float()
    return x - (x - x.half().float()).detach()
