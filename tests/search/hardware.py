"""A system whose latencies are simple formulas of the description, and accuracies that are a formula too."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from splitkit.profiles import DeviceProfile, LinkProfile, System
from splitkit.scores import FloatArray, Score
from splitkit.search.protocol import FIGURES
from splitkit.space import Architecture, SearchSpace, describe, load_space
from splitkit.space.encoding import Encoding, IntArray

TINY = load_space("tiny")


def device(name: str, macs_per_s: float, **more: Any) -> DeviceProfile:
    return DeviceProfile(
        name=name,
        kind="analytical",
        macs_per_s={"float32": macs_per_s},
        bandwidth_bytes_per_s=1e9,
        kernel_overhead_us=1.0,
        **more,
    )


def system(sensor_macs_per_s: float = 1e9, bandwidth_bytes_per_s: float = 1e6, **sensor: Any) -> System:
    return System(
        name="paper",
        sensor=device("slow", sensor_macs_per_s, **sensor),
        link=LinkProfile(name="wire", bandwidth_bytes_per_s=bandwidth_bytes_per_s, overhead_us=20.0),
        aggregator=device("fast", 20e9),
    )


@dataclass(frozen=True)
class Arrays:
    """A prediction."""

    sensor_us: FloatArray
    link_us: FloatArray
    aggregator_us: FloatArray
    total_us: FloatArray
    payload_bytes: FloatArray
    sensor_peak_bytes: FloatArray
    sensor_macs: FloatArray
    aggregator_macs: FloatArray
    measured_fraction: FloatArray


@dataclass
class FormulaPredictor:
    """Time = MACs / rate + 1 us per operator; the sensor's time is multiplied by `belief`."""

    space: SearchSpace
    system: System
    belief: float = 1.0
    calls: int = 0

    def figures(self, architecture: Architecture) -> Mapping[str, float]:
        macs, operators, payload, peak = _facts(self.space, architecture)
        sensor, aggregator = (
            macs[i] / (profile.macs_per_s["float32"] / 1e6) + operators[i]
            for i, profile in enumerate((self.system.sensor, self.system.aggregator))
        )
        link = self.system.link.latency_us(float(payload), self.space.views)
        sensor *= self.belief
        values = (sensor, link, aggregator, sensor + link + aggregator, payload, peak, macs[0], macs[1], 1.0)
        return dict(zip(FIGURES, values, strict=True))

    def predict(self, genes: IntArray) -> Arrays:
        self.calls += len(genes)
        encoding = Encoding(self.space)
        rows = [self.figures(encoding.decode(row)) for row in genes]
        return Arrays(**{name: np.array([row[name] for row in rows]) for name in FIGURES})


@cache
def _facts(space_: SearchSpace, architecture: Architecture) -> tuple[tuple[int, int], tuple[int, int], int, int]:
    network = describe(space_, architecture)
    sides = ("sensor", "aggregator")
    macs = (network.macs("sensor"), network.macs("aggregator"))
    operators = tuple(len(network.operators(side)) for side in sides)
    return macs, (operators[0], operators[1]), network.payload_bytes, network.peak_sensor_bytes_bound()


@dataclass
class FormulaEvaluator:
    """Accuracy grows with MACs and falls with a narrow link, and likelihood with it; `asked` counts questions."""

    space: SearchSpace
    asked: list[Architecture] = field(default_factory=list)

    def score(self, architectures: Sequence[Architecture]) -> list[Score]:
        self.asked += architectures
        return [Score(self.of(a), float(np.log(self.of(a)))) for a in architectures]

    def of(self, a: Architecture) -> float:
        macs, _, payload, _ = _facts(self.space, a)
        loss = 0.04 * np.exp(-payload / 128) if a.placement == "split" else 0.0
        loss += 0.005 if a.placement == "split" and a.link_dtype == "uint8" else 0.0
        return float(0.99 - 0.25 * np.exp(-sum(macs) / 6e5) - loss)
