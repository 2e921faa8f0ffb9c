"""What lies between the halves: the link as its profile states it, and the runtime's own time.

Where both halves run on this machine, the processes that play the system add microseconds of their own to every frame:
system calls, waking up, checksums, copies. `splitkit bench` measures them once (`runtime.calibration`); they are part
of every prediction from then on. Systems whose devices are elsewhere, or are models, are predicted by their profile.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from splitkit.devices import get_device
from splitkit.latency.rows import HopConditions
from splitkit.latency.store import LutStore
from splitkit.profiles.schema import LinkProfile, Number, System

SLOWEST_BYTES_PER_S = 1e6
"""Microseconds do not count on slower links, and measuring over them would take long."""


def runs_here(system: System) -> bool:
    """Whether both sides are this machine, so that the runtime's time is part of every frame's."""
    return get_device(system.sensor).here and get_device(system.aggregator).here


def hop_between(system: System, views: int, runtime: str, placement: str) -> HopConditions:
    """The conditions under which what the runtime adds holds, whatever the devices' time scales."""
    sensor, aggregator = (get_device(p.unscaled()).fingerprint() for p in (system.sensor, system.aggregator))
    link = calibration_link(system.link)
    text = f"{link.overhead_us:g} us, {link.bandwidth_bytes_per_s:g} B/s{', shared' if link.shared else ''}"
    return HopConditions(sensor, aggregator, views, text, runtime, placement)


def calibration_link(link: LinkProfile) -> LinkProfile:
    """The link over which the runtime is measured: how long processes wait decides what they find in their caches."""
    return link.model_copy(update={"bandwidth_bytes_per_s": max(link.bandwidth_bytes_per_s, SLOWEST_BYTES_PER_S)})


@dataclass(frozen=True)
class Line:
    """Microseconds as a linear function of the bytes that one sensor sends."""

    us: float = 0.0
    us_per_byte: float = 0.0

    @classmethod
    def fit(cls, payload_bytes: Sequence[int], us: Sequence[float]) -> Self:
        """Least squares, of relative errors: small payloads count as much as large ones. Never falls, never below 0."""
        x, y = np.array(payload_bytes, dtype=np.float64), np.array(us, dtype=np.float64)
        design = np.stack([np.ones_like(x), x], axis=1)
        weight = 1 / np.maximum(np.abs(y), 1.0)
        (start, slope), *_ = np.linalg.lstsq(design * weight[:, None], y * weight, rcond=None)
        if slope < 0:
            start, slope = np.average(y, weights=weight**2), 0.0
        return cls(max(float(start), 0.0), float(slope))

    def text(self) -> str:
        """In words."""
        return f"{self.us:.1f} us + {1e3 * self.us_per_byte:.2f} ns per byte"

    def __call__(self, payload_bytes: Number) -> Number:
        """At one payload, or an array of them."""
        return self.us + self.us_per_byte * payload_bytes


@dataclass(frozen=True)
class Hop:
    """Times between the halves of a system.

    Attributes:
        profile, views: the link, and how many sensors use it.
        link, aggregator_us: what the runtime adds to either; the latter as measured with the smallest payload, since
            what it does per byte it does while receiving.
        runtime: which one adds it; empty if none does, or it was not measured.
        unmeasured: whether one adds time that is not known.
    """

    profile: LinkProfile
    views: int
    link: Line = field(default_factory=Line)
    aggregator_us: float = 0.0
    runtime: str = ""
    unmeasured: bool = False

    @classmethod
    def of(cls, store: LutStore, system: System, views: int) -> Self:
        """With what was measured last, if the system runs here."""
        if not runs_here(system):
            return cls(system.link, views)
        asked = hop_between(system, views, "", "")
        found = store.last_hop(asked.sensor, asked.aggregator, views, asked.link)
        if found is None:
            return cls(system.link, views, unmeasured=True)
        conditions, times = found
        link = Line.fit([t.payload_bytes for t in times], [t.link_us for t in times])
        return cls(system.link, views, link, times[0].aggregator_us, conditions.runtime.split()[0])

    @property
    def label(self) -> str:
        """What the link's time is: the profile's formula, and whose own time is added."""
        if self.unmeasured:
            return "model, runtime's own time not measured: splitkit bench --target aggregator"
        return f"model + {self.runtime} runtime, measured" if self.runtime else "model"

    def text(self) -> str:
        """The label, with what is added in words."""
        if not self.runtime:
            return self.label
        return f"{self.label}: {self.link.text()}, on the aggregator {self.aggregator_us:.1f} us"

    def link_us(self, payload_bytes: Number) -> Number:
        """From the sensor's result to the last view's arrival."""
        return self.profile.latency_us(payload_bytes, self.views) + self.link(payload_bytes)
