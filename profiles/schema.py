"""What a profile may say. Frozen pydantic models; unknown keys are refused; units are in the names."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, NewType, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from splitkit.sides import Side

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$")]

Number = TypeVar("Number", float, NDArray[np.float64])

ANALYTICAL_FIELDS = ("macs_per_s", "bandwidth_bytes_per_s", "kernel_overhead_us")
NUMBERS = (*ANALYTICAL_FIELDS, "clock_hz", "cpi", "memory_bytes", "flash_bytes", "pj_per_mac", "pj_per_byte")
"""Physical numbers of a device, each of which should say where it comes from."""

DEFAULT_FAMILY = "default"


class _Profile(BaseModel):
    """`sources` says, field by field, where a number comes from: a public source, or `assumption: ...`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    description: str = ""
    sources: Mapping[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _sources_are_of_fields(self) -> Self:
        strangers = sorted(set(self.sources) - set(type(self).model_fields))
        if strangers:
            raise ValueError(f"sources.{strangers[0]}: there is no such field")
        return self

    def unsourced(self) -> list[str]:
        """Fields that hold a physical number of this hardware without saying where it comes from."""
        return [field for field in self._numbers() if field not in self.sources]

    def _numbers(self) -> Iterator[str]:
        yield from ()


class DeviceProfile(_Profile):
    """Something that computes, as compiler and bench see it.

    Attributes:
        kind: which device class times it: `host` (this machine), `analytical` (a roofline), or an installed one.
        exporter: the exporter that compiles for it.
        target: what the exporter compiles for; `{kind = "host"}` is this machine.
        threads: how many threads a graph may use.
        cpus: the processor numbers to pin to; left out, the last `threads` ones this process may use.
        time_scale: every time is multiplied by it. Other than 1 it emulates a slower (or faster) core, and every
            figure is labelled so.
        clock_hz: the core's clock, for a kind that counts instructions: makes an estimated time of a count.
        cpi: cycles per instruction by kernel family, `default` for the families (and the code between kernels) that
            are not named; only with `clock_hz`.
        memory_bytes: working RAM for activations, workspace, stack and RAM-resident weights; left out, unlimited.
        flash_bytes: room for code and constants; left out, unlimited.
        macs_per_s: peak multiply-accumulates per second by dtype (kind `analytical`).
        bandwidth_bytes_per_s: memory bandwidth (kind `analytical`).
        kernel_overhead_us: cost of starting one kernel (kind `analytical`).
        pj_per_mac, pj_per_byte: energy of one multiply-accumulate and of one byte moved to or from memory.
        options: what only this kind of device understands; the kind checks it with a model of its own.
    """

    kind: Name
    exporter: Name = "tvm"
    target: Mapping[str, Any] = Field(default_factory=lambda: {"kind": "host"})
    threads: Annotated[int, Field(ge=1, le=256)] = 1
    cpus: tuple[Annotated[int, Field(ge=0)], ...] | None = None
    time_scale: Positive = 1.0
    clock_hz: Positive | None = None
    cpi: Mapping[str, Positive] = Field(default_factory=dict)
    memory_bytes: Annotated[int, Field(gt=0)] | None = None
    flash_bytes: Annotated[int, Field(gt=0)] | None = None
    macs_per_s: Mapping[str, Positive] = Field(default_factory=dict)
    bandwidth_bytes_per_s: Positive | None = None
    kernel_overhead_us: NotNegative | None = None
    pj_per_mac: NotNegative | None = None
    pj_per_byte: NotNegative | None = None
    options: Mapping[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if self.kind == "analytical":
            for field in ANALYTICAL_FIELDS:
                if getattr(self, field) in (None, {}):
                    raise ValueError(f"{field}: an analytical device needs it")
            if "float32" not in self.macs_per_s:
                raise ValueError("macs_per_s: float32 is needed, the dtype networks compute in")
        if self.cpus is not None and len(set(self.cpus)) != self.threads:
            raise ValueError(f"cpus: {self.threads} distinct numbers are needed, one per thread")
        if (self.clock_hz is None) != (not self.cpi):
            raise ValueError("cpi: clock_hz and cpi go together: a count times the one, over the other, is a time")
        if self.cpi and DEFAULT_FAMILY not in self.cpi:
            raise ValueError(f"cpi.{DEFAULT_FAMILY}: is missing: the families that are not named need one too")
        return self

    def us_per_unit(self, family: str = DEFAULT_FAMILY) -> float:
        """Microseconds of one unit in which this device's rows are kept: the one conversion there is.

        Rows in microseconds are multiplied by `time_scale`; rows in instructions by the family's cycles per
        instruction over the clock as well.
        """
        if self.clock_hz is None:
            return self.time_scale
        return self.time_scale * self.cpi.get(family, self.cpi[DEFAULT_FAMILY]) * (1e6 / self.clock_hz)

    def unscaled(self) -> "UnscaledProfile":
        """The same hardware, without this profile's scale, clock and CPI."""
        own: dict[str, Any] = {"time_scale": 1.0}
        if self.clock_hz is not None:
            own |= {"clock_hz": 1e6, "cpi": {DEFAULT_FAMILY: 1.0}}
        return UnscaledProfile(self.model_copy(update=own))

    @property
    def is_unscaled(self) -> bool:
        """Whether it could be an `UnscaledProfile`: its times are in the unit of its rows."""
        return self == self.unscaled()

    def _numbers(self) -> Iterator[str]:
        if self.time_scale != 1.0:
            yield "time_scale"
        yield from (field for field in NUMBERS if getattr(self, field) not in (None, {}))


UnscaledProfile = NewType("UnscaledProfile", DeviceProfile)
"""The profile of the hardware itself: what is timed comes in the unit that the hardware is measured in (microseconds,
or counted instructions), one unit's `us_per_unit` being 1. Rows of the latency table are measured on such a device and
belong to it, so that they serve every scale, clock and CPI; only `DeviceProfile.unscaled` makes one."""


class LinkProfile(_Profile):
    """The way from the sensors to the aggregator.

    Attributes:
        bandwidth_bytes_per_s: payload bytes per second, after the protocol's own share.
        overhead_us: fixed cost of one transfer.
        shared: one link carries every view, one after the other; otherwise each sensor has its own.
        pj_per_byte: energy of one byte sent.
    """

    bandwidth_bytes_per_s: Positive
    overhead_us: NotNegative = 0.0
    shared: bool = False
    pj_per_byte: NotNegative | None = None

    def latency_us(self, payload_bytes: Number, views: int = 1) -> Number:
        """Time until the last of `views` payloads has arrived, for one payload size or an array of them."""
        transfers = views if self.shared else 1
        return transfers * (self.overhead_us + payload_bytes / self.bandwidth_bytes_per_s * 1e6)

    def _numbers(self) -> Iterator[str]:
        yield from ("bandwidth_bytes_per_s", "overhead_us")
        if self.pj_per_byte is not None:
            yield "pj_per_byte"


class Hub(BaseModel):
    """A processor between sensor and aggregator.

    Attributes:
        link: the way into it, from the one before.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: DeviceProfile
    link: LinkProfile


class System(_Profile):
    """Sensors of one kind, a link, an aggregator.

    How many sensors there are is the project's to say (`views`), unless the hardware has a fixed number of them.

    Attributes:
        link: the way into the aggregator.
        sensors: that number; left out, any.
        hubs: processors on the way, in order; `splitkit partition` alone uses them.
    """

    sensor: DeviceProfile
    link: LinkProfile
    aggregator: DeviceProfile
    sensors: Annotated[int, Field(ge=1)] | None = None
    hubs: tuple[Hub, ...] = ()

    def device(self, side: Side) -> DeviceProfile:
        """The profile of one side."""
        return self.sensor if side == "sensor" else self.aggregator

    def with_exporters(self, exporters: Mapping[Side, str]) -> "System":
        """The same hardware, its sides compiled by other exporters."""
        changed: dict[str, Any] = {}
        for side, name in exporters.items():
            changed[side] = self.device(side).model_copy(update={"exporter": name})
        return self.model_copy(update=changed)

    def unsourced(self) -> list[str]:
        """Fields of all three parts, as `sensor.macs_per_s`, that hold a number without a source."""
        parts: dict[str, _Profile] = {"sensor": self.sensor, "link": self.link, "aggregator": self.aggregator}
        return [f"{part}.{field}" for part, profile in parts.items() for field in profile.unsourced()]
