"""What measured candidates teach the predictor.

Measuring a candidate yields the time of each of its kernels in place, and the whole. For every kernel the log of
measured over predicted is a family's bias plus the kernel's own deviation, both Gaussian about zero: a random-effects
model, whose estimates shrink a kernel to its family's mean, and a family's to zero, the more the noisier they were
measured (Gelman et al., "Bayesian Data Analysis", section 5.4). Since kernels are corrected one by one, candidates can
change places, which one factor for the whole prediction could not bring about. What the corrected kernels still leave
unexplained end to end is one factor per side.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from splitkit.compiler.kernel import Kernel
from splitkit.errors import ConfigError
from splitkit.latency.measurement import Measurement, SideMeasurement
from splitkit.reading import typed
from splitkit.sides import SIDES, Side

FloatArray = NDArray[np.float64]

FAMILY_SIGMA = 0.5
"""Prior standard deviation of a family's log bias: half or double is not surprising."""

KERNEL_SIGMA = 0.1
"""Prior standard deviation of a kernel's log deviation from its family, before the data has its say."""

LEAST_KERNEL_SIGMA = 0.02

NOISE_LOG = 0.02
"""Log times of one kernel differ by this much between places in networks, however well each is measured."""

RESIDUAL_SIGMA = 0.3
"""Prior standard deviation of a side's log residual."""


@dataclass(frozen=True)
class SideCorrection:
    """Logarithms of factors: per kernel key (family included), per family for the other kernels, and for the whole."""

    kernels: Mapping[str, float] = field(default_factory=dict)
    families: Mapping[str, float] = field(default_factory=dict)
    residual: float = 0.0

    def factors(self, kernels: Sequence[Kernel]) -> FloatArray:
        """What to multiply each kernel's predicted time by, shape (kernels,)."""
        logs = [self.kernels.get(k.key, self.families.get(k.family, 0.0)) for k in kernels]
        return np.exp(np.array(logs, dtype=np.float64))

    @property
    def residual_factor(self) -> float:
        """What to multiply a side's corrected time by."""
        return float(np.exp(self.residual))


class Uncorrected(Protocol):
    """What corrections are relative to: a predictor without any."""

    def kernel_us(self, side: Side, kernels: Sequence[Kernel]) -> FloatArray:
        """Times of a whole graph's kernels as the table has them."""
        ...

    def graph_overhead_us(self, side: Side, kernels: int) -> float:
        """Cost of a graph of so many kernels beyond the kernels."""
        ...


@dataclass(frozen=True)
class Corrections:
    """Corrections of both sides of one system."""

    sensor: SideCorrection = field(default_factory=SideCorrection)
    aggregator: SideCorrection = field(default_factory=SideCorrection)

    def side(self, side: Side) -> SideCorrection:
        """`sensor` or `aggregator`."""
        return self.sensor if side == "sensor" else self.aggregator

    @classmethod
    def fit(cls, predictor: Uncorrected, measurements: Sequence[Measurement]) -> Self:
        """From every measurement so far; `predictor` is asked for what it says without corrections."""
        sides = []
        for side in SIDES:
            measured = [m for measurement in measurements if (m := measurement.side(side))]
            sides.append(_fit_side(predictor, side, measured))
        return cls(*sides)

    def to_json(self) -> dict[str, Any]:
        """A JSON object with the same field names."""
        return asdict(self)

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Inverse of `to_json`.

        Raises:
            ConfigError: a field is missing or unknown.
        """
        try:
            return typed(cls, asdict(cls(*(SideCorrection(**body[side]) for side in SIDES))))
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"not corrections: {error}", "measure again") from error


def _fit_side(predictor: Uncorrected, side: Side, measured: Sequence[SideMeasurement]) -> SideCorrection:
    if not measured:
        return SideCorrection()
    ratios, variances, families = _kernel_ratios(predictor, side, measured)
    corrected: dict[str, float] = {}
    biases: dict[str, float] = {}
    for family in sorted(set(families.values())):
        keys = [key for key in ratios if families[key] == family]
        y, v = np.array([ratios[key] for key in keys]), np.array([variances[key] for key in keys])
        spread = _between(y, v)
        weights = 1 / (v + spread)
        bias = float((weights * y).sum() / (weights.sum() + 1 / FAMILY_SIGMA**2))
        own = spread / (spread + v) * (y - bias)
        biases[family] = bias
        corrected |= {key: bias + float(deviation) for key, deviation in zip(keys, own, strict=True)}
    fitted = SideCorrection(corrected, biases)
    return SideCorrection(corrected, biases, _residual(predictor, side, measured, fitted))


def _kernel_ratios(
    predictor: Uncorrected, side: Side, measured: Sequence[SideMeasurement]
) -> tuple[dict[str, float], dict[str, float], dict[str, str]]:
    """Log of measured over predicted per kernel, precision-weighted over its occurrences; its variance; its family."""
    seen: dict[str, list[tuple[float, float]]] = defaultdict(list)
    families = {kernel.key: kernel.family for m in measured for kernel in m.kernels}
    for m in measured:
        predicted = predictor.kernel_us(side, m.kernels)
        rows = zip(m.kernels, predicted, m.kernel_us, m.kernel_variance_us2, strict=True)
        for kernel, expected, us, variance in rows:
            if us > 0 and expected > 0:
                seen[kernel.key].append((float(np.log(us / expected)), variance / us**2 + NOISE_LOG**2))
    ratios, variances = {}, {}
    for key, pairs in seen.items():
        y, precision = np.array([p[0] for p in pairs]), 1 / np.array([p[1] for p in pairs])
        ratios[key], variances[key] = float((y * precision).sum() / precision.sum()), float(1 / precision.sum())
    return ratios, variances, {key: families[key] for key in ratios}


def _between(y: FloatArray, v: FloatArray) -> float:
    """Variance of kernels about their family: moments, pulled to the prior while kernels are few (inverse gamma)."""
    excess = float(((y - np.average(y, weights=1 / v)) ** 2 - v).sum()) if len(y) > 1 else 0.0
    prior_rows = 3
    variance = (prior_rows * KERNEL_SIGMA**2 + max(excess, 0.0)) / (prior_rows + len(y) - 1)
    return max(variance, LEAST_KERNEL_SIGMA**2)


def _residual(predictor: Uncorrected, side: Side, measured: Sequence[SideMeasurement], fitted: SideCorrection) -> float:
    """Log of what the corrected kernels do not explain end to end, shrunk to zero."""
    precision = weighted = 0.0
    for m in measured:
        kernels = predictor.kernel_us(side, m.kernels) * fitted.factors(m.kernels)
        predicted = kernels.sum() + predictor.graph_overhead_us(side, len(m.kernels))
        if predicted > 0 and m.graph_us > 0:
            weight = 1 / (m.graph_variance_us2 / m.graph_us**2 + NOISE_LOG**2)
            weighted += weight * np.log(m.graph_us / predicted)
            precision += weight
    return float(weighted / (precision + 1 / RESIDUAL_SIGMA**2))
