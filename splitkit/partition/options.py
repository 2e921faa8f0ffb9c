"""What a way to share a model's work takes, as the table shows it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from splitkit.sides import Side


@dataclass(frozen=True)
class Option:
    """One cut, with both halves lowered as they would be compiled.

    Attributes:
        placement: `split`, or the side that computes everything.
        crossing: tensors that the sensor sends, by their names in the model; those of the first of several views.
        payload_bytes: of them; of one view.
        sensor_us, link_us, aggregator_us: of one frame; `total_us` is their sum.
        sensor_peak_bytes: arena, inputs and outputs of the sensor's half; inputs alone where it computes nothing.
        sensor_weight_bytes: of the sensor's half.
        sensor_macs, aggregator_macs: multiply-accumulates of kernels.
        energy_uj: of one frame; None unless both devices and the link have figures for it.
        measured_fraction: share of the kernels' time that rests on measured ones (or a device's own model).
        fits: whether the sensor holds it, as far as its profile says.
        measured_us: `total_us` with both halves compiled and timed instead of predicted; None if they were not.
    """

    placement: str
    crossing: tuple[str, ...]
    payload_bytes: int
    sensor_us: float
    link_us: float
    aggregator_us: float
    sensor_peak_bytes: int
    sensor_weight_bytes: int
    sensor_macs: int
    aggregator_macs: int
    energy_uj: float | None
    measured_fraction: float
    fits: bool
    measured_us: float | None = None

    @property
    def total_us(self) -> float:
        """Of one frame."""
        return self.sensor_us + self.link_us + self.aggregator_us

    def to_json(self) -> dict[str, Any]:
        """All fields and `total_us`; a row of a table."""
        return asdict(self) | {"crossing": list(self.crossing), "total_us": self.total_us}


@dataclass(frozen=True)
class Partition:
    """A model's cuts on one system.

    Attributes:
        model, system: names.
        options: those looked at in full, fastest first, what the sensor cannot hold last; the two that leave all to one
            side are always among them, but for the sensor alone where the aggregator has inputs of its own.
        listed: how many cuts were compared.
        most_tensors: that could cross.
        unbounded_us: what the best cut of all takes by the same sums, however many tensors cross; None if that is one
            of those listed.
        link: what the link's time is.
        devices: what each side's time is, by side.
        fallback: share of the model's kernel time, by side, in operators that run as TVM's default.
        link_dtype: what computed float32 tensors are sent as.
        aggregator_inputs: inputs that the aggregator has by itself.
        views, join: how many sensors send, and where what they send meets, by the first view's names.
    """

    model: str
    system: str
    options: tuple[Option, ...]
    listed: int
    most_tensors: int
    unbounded_us: float | None
    link: str
    devices: Mapping[Side, str]
    fallback: Mapping[Side, float]
    link_dtype: str
    aggregator_inputs: tuple[str, ...] = ()
    views: int = 1
    join: tuple[str, ...] = ()

    @property
    def best(self) -> Option:
        """The fastest that the sensor can hold."""
        return self.options[0]

    def rows(self) -> list[dict[str, Any]]:
        """One row an option, such as `pandas.DataFrame` takes."""
        return [option.to_json() for option in self.options]

    def to_json(self) -> dict[str, Any]:
        """Everything."""
        return asdict(self) | {"schema_version": 1, "options": self.rows()}
