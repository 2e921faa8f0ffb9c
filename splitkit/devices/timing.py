"""Repeated timings of one thing, with what is an outlier stated once."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

IQR_PER_SIGMA = 1.349
"""Interquartile range of a normal distribution with standard deviation 1."""

OUTLIER_SPREADS = 5.0
"""A sample further than this many spreads above the median was disturbed (an interrupt, another process)."""

OUTLIER_FLOOR = 0.05
"""Samples within this fraction of the median are never outliers, however quiet the others were."""


@dataclass(frozen=True)
class Timing:
    """Times of one thing in microseconds, shape (n,), after outlier rejection; `rejected` were left out."""

    samples_us: NDArray[np.float64]
    rejected: int = 0

    @classmethod
    def from_samples(cls, samples_us: NDArray[np.float64]) -> Self:
        """Keep the samples that lie at most max(5 spreads, 5 %) above the median.

        Only the slow side is cut: nothing makes code run too fast, so a low sample is as good as any other.

        Raises:
            ValueError: there are no samples, or one is negative or not finite.
        """
        samples = np.asarray(samples_us, dtype=np.float64)
        if samples.ndim != 1 or not len(samples) or not np.all(np.isfinite(samples)) or samples.min() < 0:
            raise ValueError("samples_us: a non-empty vector of finite times is needed")
        quartile1, median, quartile3 = np.percentile(samples, [25, 50, 75])
        margin = max(OUTLIER_SPREADS * (quartile3 - quartile1) / IQR_PER_SIGMA, OUTLIER_FLOOR * median)
        kept = samples[samples <= median + margin]
        return cls(kept, len(samples) - len(kept))

    @property
    def n(self) -> int:
        """Number of samples kept."""
        return len(self.samples_us)

    @property
    def median_us(self) -> float:
        """Median of the samples kept."""
        return float(np.median(self.samples_us))

    @property
    def spread_us(self) -> float:
        """Robust standard deviation of one sample: IQR / 1.349."""
        quartile1, quartile3 = np.percentile(self.samples_us, [25, 75])
        return float((quartile3 - quartile1) / IQR_PER_SIGMA)

    @property
    def variance_of_median_us2(self) -> float:
        """Variance of the median, had the samples been normal: (pi / 2) spread^2 / n."""
        return float(np.pi / 2 * self.spread_us**2 / self.n)
