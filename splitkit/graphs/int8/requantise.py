"""From a 32-bit sum to eight bits again, by multiplication and shift.

A sum `a` of products stands for the real number a x scale, and becomes

    y = clamp((floor(a M / 2^32) + (zero << T) + 2^(T - 1)) >> T,  low, high)        M = round(scale 2^(32 + T))

with arithmetic shifts: a x scale + zero, rounded once, halves upwards. One shift T serves a whole tensor and M a
channel, so that a Cortex-M needs one multiplication, one shift and one saturation a value. The idea of integer
multipliers is that of Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
Inference" (CVPR 2018), section 2.2; its rounding is another.
"""

from dataclasses import dataclass
from math import floor, log2

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int32]

LARGEST_SCALE = 0.25
"""Scales from here on would need a shift below one; no layer with a few products has them."""
MOST_SHIFT = 22
"""With it a zero point of 255, shifted, still fits beside the sum."""


@dataclass(frozen=True, eq=False)
class Requantisation:
    """How sums become values of eight bits.

    Attributes:
        multipliers: M, of each output channel, or one for all.
        shift: T.
        zero: of the output.
        low, high: bounds of the output, in its own steps: those of its dtype, or of an activation within them.
    """

    multipliers: Ints
    shift: int
    zero: int
    low: int
    high: int

    @property
    def offset(self) -> int:
        """What is added before the shift: the zero point, and half a step for rounding."""
        return (self.zero << self.shift) + (1 << (self.shift - 1))

    def apply(self, sums: NDArray[np.int64], axis: int = 1) -> NDArray[np.int64]:
        """The bytes, as int64; `axis` is that of the channels."""
        shape = [1] * sums.ndim
        shape[axis] = -1
        high = (sums * self.multipliers.astype(np.int64).reshape(shape)) >> 32
        return np.asarray(np.clip((high + self.offset) >> self.shift, self.low, self.high))


def requantisation(scales: NDArray[np.float64], zero: int, low: int, high: int) -> Requantisation | None:
    """Multipliers for sums of these scales in units of the output's step; None where one of them is too large."""
    largest = float(scales.max())
    if not 0 < largest < LARGEST_SCALE:
        return None
    shift = min(max(floor(-1 - log2(largest)), 1), MOST_SHIFT)
    multipliers = np.rint(scales * 2.0 ** (32 + shift))
    if multipliers.max() >= 2**31:  # rounded up to the next power of two
        shift -= 1
        multipliers = np.rint(scales * 2.0 ** (32 + shift))
    return Requantisation(multipliers.astype(np.int32), shift, zero, low, high) if shift else None


@dataclass(frozen=True)
class Products:
    """Two numbers or two tensors in one: y = clamp((a K + b L + offset) >> shift), or of a b K alone.

    Attributes:
        multipliers: of each term.
        shift, offset: as of a requantisation; `offset` holds what the zero points of the operands come to as well.
    """

    multipliers: tuple[int, ...]
    shift: int
    zero: int
    low: int
    high: int

    @property
    def offset(self) -> int:
        """As of `Requantisation`."""
        return (self.zero << self.shift) + (1 << (self.shift - 1))


def products(scales: tuple[float, ...], bits: int, zero: int, low: int, high: int) -> Products | None:
    """Multipliers of at most so many bits; None where the scales are out of reach."""
    largest = max(scales)
    if not largest > 0:
        return None
    shift = min(bits - 1 - floor(log2(largest)), MOST_SHIFT)
    found = tuple(round(scale * 2.0**shift) for scale in scales)
    if max(found) >= 2**bits:
        shift -= 1
        found = tuple(round(scale * 2.0**shift) for scale in scales)
    return Products(found, shift, zero, low, high) if shift >= 1 else None
