"""A point of a front, with every figure a reader needs to judge it."""

from dataclasses import asdict, dataclass
from typing import Any, Self

from splitkit.profiles import DeviceProfile, System
from splitkit.search.candidate import Candidate
from splitkit.space import Architecture, Network, SearchSpace, describe
from splitkit.space.operators import Operator

MOVING = frozenset({"conv", "linear", "pool", "resize", "stack_views", "sum_views", "mean_views", "max_views"})
"""Operators that move their tensors through memory; the rest are fused into them."""


@dataclass(frozen=True)
class Busy:
    """The fraction of time in which each part works."""

    sensor: float
    link: float
    aggregator: float


@dataclass(frozen=True, kw_only=True)
class Point:
    """One architecture of a front. Times, unless called measured, are predictions.

    Attributes:
        accuracy: in [0, 1], on the images the search scores with; never the test set.
        log_likelihood: mean log probability of the right class on those images, which points are ranked by.
        sensor_us, link_us, aggregator_us, total_us: stages of one frame, and their sum.
        payload_bytes: what one sensor sends per frame.
        peak_sensor_bytes: lower bound on one sensor's working memory.
        sensor_macs, aggregator_macs: multiply-accumulates per frame, on one sensor and on the aggregator.
        throughput_per_s: frames per second when the stages work on successive frames: 1e6 / slowest stage.
        busy_pipelined: at that throughput; `busy_single_shot`: with one frame at a time.
        energy_uj: of one frame over all sensors, links and the aggregator; None unless every profile has the figures.
        measured_fraction: share of the predicted time that rests on measured kernels.
        measured_total_us: sensor + link + aggregator of the compiled candidate, where feedback measured it.
    """

    architecture: Architecture
    accuracy: float
    log_likelihood: float
    sensor_us: float
    link_us: float
    aggregator_us: float
    total_us: float
    payload_bytes: int
    peak_sensor_bytes: int
    sensor_macs: int
    aggregator_macs: int
    throughput_per_s: float
    busy_pipelined: Busy
    busy_single_shot: Busy
    energy_uj: float | None
    measured_fraction: float
    measured_total_us: float | None = None

    @property
    def placement(self) -> str:
        """`sensor`, `aggregator` or `split`."""
        return self.architecture.placement

    def to_json(self) -> dict[str, Any]:
        """A JSON object with the same field names, and the placement."""
        return asdict(self) | {"placement": self.placement}

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> Self:
        """Inverse of `to_json`. Raises KeyError or TypeError if a field is missing or unknown."""
        fields = {name: value for name, value in body.items() if name != "placement"}
        fields["architecture"] = Architecture.from_json(fields["architecture"])
        for name in ("busy_pipelined", "busy_single_shot"):
            fields[name] = Busy(**fields[name])
        return cls(**fields)


def describe_point(
    space: SearchSpace, system: System, candidate: Candidate, measured_total_us: float | None = None
) -> Point:
    """All figures of a candidate on a system."""
    f = candidate.figures
    stages = (f["sensor_us"], f["link_us"], f["aggregator_us"])
    slowest, total = max(stages), f["total_us"]
    return Point(
        architecture=candidate.architecture,
        accuracy=candidate.accuracy,
        log_likelihood=candidate.score.log_likelihood,
        sensor_us=stages[0],
        link_us=stages[1],
        aggregator_us=stages[2],
        total_us=total,
        payload_bytes=round(f["payload_bytes"]),
        peak_sensor_bytes=round(f["sensor_peak_bytes"]),
        sensor_macs=round(f["sensor_macs"]),
        aggregator_macs=round(f["aggregator_macs"]),
        throughput_per_s=1e6 / slowest,
        busy_pipelined=Busy(*(stage / slowest for stage in stages)),
        busy_single_shot=Busy(*(stage / total for stage in stages)),
        energy_uj=energy_uj(describe(space, candidate.architecture), system),
        measured_fraction=f["measured_fraction"],
        measured_total_us=measured_total_us,
    )


def energy_uj(network: Network, system: System) -> float | None:
    """Energy of one frame: every sensor's computing, every view's transfer, the aggregator's computing.

    Computing costs its multiply-accumulates and the bytes that convolutions, linear layers and other unfused
    operators read and write (float32 weights included), each at the profile's figure. None if a profile lacks one.
    """
    sensor = _computing_pj(network.operators("sensor"), system.sensor)
    aggregator = _computing_pj(network.operators("aggregator"), system.aggregator)
    if sensor is None or aggregator is None or system.link.pj_per_byte is None:
        return None
    sent = network.payload_bytes * system.link.pj_per_byte
    return (network.views * (sensor + sent) + aggregator) / 1e6


def _computing_pj(operators: list[Operator], device: DeviceProfile) -> float | None:
    if device.pj_per_mac is None or device.pj_per_byte is None:
        return None
    macs = sum(operator.macs for operator in operators)
    moved = sum(
        sum(tensor.bytes for tensor in operator.inputs) + operator.output.bytes + 4 * operator.weight_elements
        for operator in operators
        if operator.kind in MOVING
    )
    return macs * device.pj_per_mac + moved * device.pj_per_byte
