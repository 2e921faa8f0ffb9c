"""Repeated timings of one thing, and what they say about how long it takes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

UNDISTURBED = 0.1
"""The quantile of repeated runs that counts as undisturbed: the lower decile.

Others at work on the machine, or on the core's other hardware thread, only ever add time, and in bursts shorter than a
network's run: every kernel by itself is spared in most runs, a whole network in few. So medians of kernels do not add
up to the median of their network; lower deciles do. The fastest run of all would rest on a single sample.
"""


@dataclass(frozen=True)
class Timing:
    """Times of one thing as its device gives them, shape (n,).

    Raises:
        ValueError: there are no samples, or one is negative or not finite.
    """

    samples: NDArray[np.float64]

    def __post_init__(self) -> None:
        samples = self.samples
        if samples.ndim != 1 or not len(samples) or not np.all(np.isfinite(samples)) or samples.min() < 0:
            raise ValueError("samples: a non-empty vector of finite times is needed")

    @property
    def undisturbed(self) -> float:
        """The lower decile."""
        return float(np.quantile(self.samples, UNDISTURBED))

    @property
    def variance(self) -> float:
        """Variance of the lower decile, from the samples one standard deviation of its rank to either side.

        The rank of a quantile q among n samples is binomial, with variance n q (1 - q), whatever their distribution
        (David and Nagaraja, "Order Statistics", section 7.1).
        """
        share = np.sqrt(UNDISTURBED * (1 - UNDISTURBED) / len(self.samples))
        low, high = np.quantile(self.samples, np.clip([UNDISTURBED - share, UNDISTURBED + share], 0, 1))
        return float((high - low) / 2) ** 2
