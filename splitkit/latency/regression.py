"""Times of kernels that nobody measured, from those somebody did.

Per family, the logarithm of the time is a Gaussian process over the logarithms of what the kernel is (work, bytes,
every number in its specification): a Bayesian linear trend plus a smooth residual (Rasmussen and Williams, "Gaussian
Processes for Machine Learning", 2006, sections 2.2 and 2.7). Where measured kernels are near it interpolates them,
where none is it falls back to the trend. Families without enough rows share one process over work and bytes.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from splitkit.compiler.kernel import Kernel

if TYPE_CHECKING:
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import Kernel as Covariance

FloatArray = NDArray[np.float64]

FEW_ROWS = 8
"""A family with fewer measured kernels is predicted by the process of all families."""

MOST_ROWS = 1500
"""Fitting is cubic in the rows: a larger family is thinned at random to this many."""

LENGTH_SCALES = (0.5, 1.0, 2.0, 4.0)
"""Candidates, in standardised features times the square root of their number; the likelihood picks."""

NOISE_LOG = (0.01, 0.03, 0.1)
"""Candidates for the standard deviation of a measured log time about the smooth function."""

TREND_SCALE = 10.0
"""Prior standard deviation of the trend's coefficients: nearly free."""

SMOOTH_SCALE = 0.3
"""Prior standard deviation of the smooth residual of a log time."""


@dataclass(frozen=True)
class Estimate:
    """Predicted times, in the unit of those it was fitted to, and the standard deviation of their logarithms; each of
    shape (n,)."""

    times: FloatArray
    sigma_log: FloatArray


class KernelRegression:
    """Fitted to measured kernels; predicts any other."""

    def __init__(self, kernels: Sequence[Kernel], times: FloatArray, seed: int = 0) -> None:
        if not kernels:
            raise ValueError("kernels: at least one measured kernel is needed")
        log_times = np.log(np.maximum(times, 1e-6))
        rng = np.random.default_rng(seed)
        by_family: dict[str, list[int]] = defaultdict(list)
        for i, kernel in enumerate(kernels):
            by_family[kernel.family].append(i)
        self._families = {
            family: _fit([kernels[i] for i in rows], log_times[rows], rng, detailed=True)
            for family, rows in by_family.items()
            if len(rows) >= FEW_ROWS
        }
        self._all = _fit(kernels, log_times, rng, detailed=False)

    def predict(self, kernels: Sequence[Kernel]) -> Estimate:
        """Times of any kernels, in their order."""
        times, sigma = np.empty(len(kernels)), np.empty(len(kernels))
        by_family: dict[str, list[int]] = defaultdict(list)
        for i, kernel in enumerate(kernels):
            by_family[kernel.family].append(i)
        for family, rows in by_family.items():
            process = self._families.get(family, self._all)
            mean, deviation = process.predict([kernels[i] for i in rows])
            times[rows], sigma[rows] = np.exp(mean), deviation
        return Estimate(times, sigma)


@dataclass(frozen=True)
class _Features:
    """Which features a family has, and how they are standardised. The first column is 1, for the trend."""

    names: tuple[str, ...]
    centre: FloatArray
    scale: FloatArray
    detailed: bool

    def __call__(self, kernels: Sequence[Kernel]) -> FloatArray:
        raw = _matrix(kernels, self.names, self.detailed)
        return np.hstack([np.ones((len(raw), 1)), (raw - self.centre) / self.scale])


@dataclass(frozen=True)
class _Process:
    """One fitted Gaussian process of log times about their mean."""

    features: _Features
    offset: float
    fitted: "GaussianProcessRegressor"

    def predict(self, kernels: Sequence[Kernel]) -> tuple[FloatArray, FloatArray]:
        mean, deviation = self.fitted.predict(self.features(kernels), return_std=True)
        return self.offset + mean, np.sqrt(deviation**2 + self.fitted.alpha)


def _fit(kernels: Sequence[Kernel], log_times: FloatArray, rng: np.random.Generator, *, detailed: bool) -> _Process:
    from sklearn.gaussian_process import GaussianProcessRegressor

    if len(kernels) > MOST_ROWS:
        keep = rng.choice(len(kernels), MOST_ROWS, replace=False)
        kernels, log_times = [kernels[i] for i in keep], log_times[keep]
    features = _features(kernels, detailed)
    x, offset = features(kernels), float(log_times.mean())
    candidates = (
        GaussianProcessRegressor(_covariance(x.shape[1], length), alpha=noise**2, optimizer=None).fit(
            x, log_times - offset
        )
        for length in LENGTH_SCALES
        for noise in NOISE_LOG
    )
    return _Process(features, offset, max(candidates, key=lambda fitted: fitted.log_marginal_likelihood_value_))


def _covariance(columns: int, length: float) -> "Covariance":
    """Linear trend plus squared exponential, of rows whose first column is 1. Distances are per feature."""
    from sklearn.gaussian_process.kernels import RBF, DotProduct

    trend = TREND_SCALE**2 / columns * DotProduct(0.0, sigma_0_bounds="fixed")
    return trend + SMOOTH_SCALE**2 * RBF(length * np.sqrt(max(columns - 1, 1)))


def _features(kernels: Sequence[Kernel], detailed: bool) -> _Features:
    names = sorted({name for kernel in kernels for name in _describe(kernel, detailed)})
    raw = _matrix(kernels, names, detailed)
    varies = raw.std(axis=0) > 1e-9
    kept = tuple(name for name, use in zip(names, varies, strict=True) if use)
    return _Features(kept, raw[:, varies].mean(axis=0), raw[:, varies].std(axis=0), detailed)


def _matrix(kernels: Sequence[Kernel], names: Sequence[str], detailed: bool) -> FloatArray:
    described = [_describe(kernel, detailed) for kernel in kernels]
    return np.array([[body.get(name, 0.0) for name in names] for body in described]).reshape(len(kernels), len(names))


def _describe(kernel: Kernel, detailed: bool) -> dict[str, float]:
    body = {
        "macs": np.log1p(kernel.macs),
        "read": np.log1p(kernel.read_bytes),
        "write": np.log1p(kernel.write_bytes),
        "weights": np.log1p(kernel.weight_bytes),
        "moved": np.log1p(kernel.read_bytes + kernel.write_bytes + kernel.weight_bytes),
    }
    return body | _payload_features(kernel.payload) if detailed else body


@lru_cache(maxsize=1 << 16)
def _payload_features(payload: str) -> dict[str, float]:
    """Every number in a JSON payload as its log, every short text and flag as 0 or 1. Other payloads have none."""
    try:
        body = json.loads(payload)
    except ValueError:
        return {}
    return dict(_leaves("", body))


def _leaves(path: str, value: object) -> Iterator[tuple[str, float]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(f"{path}.{name}", inner)
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from _leaves(f"{path}.{i}", inner)
    elif isinstance(value, bool) or value is None:
        yield f"{path}={value}", 1.0
    elif isinstance(value, int | float):
        yield path, float(np.sign(value) * np.log1p(abs(value)))
    elif isinstance(value, str) and len(value) <= 32:
        yield f"{path}={value}", 1.0
