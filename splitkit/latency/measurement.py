"""What the bench found out about one architecture on one system."""

from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from splitkit.compiler.kernel import Kernel
from splitkit.errors import ConfigError
from splitkit.reading import typed
from splitkit.space import Architecture


@dataclass(frozen=True)
class GraphTiming:
    """One compiled graph as its device timed it: end to end, and each kernel where it stands.

    Attributes:
        total, variance: of whole runs, undisturbed (`Timing`), and the variance of that.
        kernels: in call order.
        kernel_times, kernel_variances: the same of each kernel, shape (kernels,).
    """

    total: float
    variance: float
    kernels: tuple[Kernel, ...]
    kernel_times: tuple[float, ...]
    kernel_variances: tuple[float, ...]

    def at_anchors_clock(self, drift: float) -> "GraphTiming":
        """The same as it would have been at the clock of the anchor's first time."""
        return replace(
            self,
            total=self.total / drift,
            variance=self.variance / drift**2,
            kernel_times=tuple(time / drift for time in self.kernel_times),
            kernel_variances=tuple(variance / drift**2 for variance in self.kernel_variances),
        )

    @property
    def kernel_sum(self) -> float:
        """Sum over the kernels where they stand."""
        return float(np.sum(self.kernel_times))


@dataclass(frozen=True)
class SideMeasurement:
    """A `GraphTiming` in microseconds: that of a device as its profile has it.

    Attributes:
        graph_us, graph_variance_us2: of whole runs.
        kernels: in call order.
        kernel_us, kernel_variance_us2: of each, shape (kernels,).
        label: how the figures must be labelled (`measured`, `analytical`...).
    """

    graph_us: float
    graph_variance_us2: float
    kernels: tuple[Kernel, ...]
    kernel_us: tuple[float, ...]
    kernel_variance_us2: tuple[float, ...]
    label: str

    @classmethod
    def of(cls, timed: GraphTiming, label: str) -> Self:
        """What a device timed whose times are microseconds, and how it labels them."""
        return cls(timed.total, timed.variance, timed.kernels, timed.kernel_times, timed.kernel_variances, label)


@dataclass(frozen=True)
class Measurement:
    """Both sides of an architecture, each measured on its device, and what lies between them (`latency.hop`).

    A side that computes nothing is None and takes no time. `runtime_us` is what the runtime adds to the aggregator's.
    """

    architecture: Architecture
    sensor: SideMeasurement | None
    aggregator: SideMeasurement | None
    link_us: float
    payload_bytes: int
    runtime_us: float = 0.0

    @property
    def sensor_us(self) -> float:
        """One sensor's time; sensors run in parallel."""
        return self.sensor.graph_us if self.sensor else 0.0

    @property
    def aggregator_us(self) -> float:
        """From the last view's arrival to the scores."""
        return (self.aggregator.graph_us if self.aggregator else 0.0) + self.runtime_us

    @property
    def total_us(self) -> float:
        """Sensor, link and aggregator, one after the other."""
        return self.sensor_us + self.link_us + self.aggregator_us

    def side(self, side: str) -> SideMeasurement | None:
        """`sensor` or `aggregator`."""
        return self.sensor if side == "sensor" else self.aggregator

    def to_json(self) -> dict[str, Any]:
        """A JSON object, for the store and for replay."""
        return asdict(self)

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> Self:
        """Inverse of `to_json`.

        Raises:
            ConfigError: a field is missing or not of its type.
        """
        try:
            return typed(cls, body)
        except ValueError as error:
            raise ConfigError(f"not a measurement: {error}", "measure again") from error


def summarise(samples: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Undisturbed times and their variances, per column of (repeats, kernels)."""
    from splitkit.devices import Timing

    timings = [Timing(column) for column in samples.T]
    times = np.array([timing.undisturbed for timing in timings])
    return times, np.array([timing.variance for timing in timings])
