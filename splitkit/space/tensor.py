"""A tensor as everything but torch and numpy see it: its name, static shape and dtype."""

from dataclasses import dataclass
from math import prod

import numpy as np


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A named tensor with a static shape (NCHW) and a numpy dtype name."""

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"

    @property
    def bytes(self) -> int:
        """Size in bytes."""
        return prod(self.shape) * np.dtype(self.dtype).itemsize
