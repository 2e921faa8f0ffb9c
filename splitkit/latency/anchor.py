"""A fixed kernel, timed around every measurement: was the machine as it always is?

Where the anchor deviates from what it took in all sessions so far, the machine was disturbed (another process, a lower
clock): the measurement is taken again, and flagged if that does not help. Devices that count instructions have nothing
that could drift, and no anchor.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from splitkit.devices import Device, Timing
from splitkit.exporters.protocol import Artifact, Kernel

T = TypeVar("T")

DRIFT_TOLERANCE = 0.1
"""Relative deviation of the anchor beyond which a measurement is repeated."""

ATTEMPTS = 3
ANCHOR_RUNS = 60


def choose_anchor(candidates: Sequence[Kernel]) -> Kernel:
    """The kernel with the median work."""
    return choose_sample(candidates, 1)[0]


def choose_sample(candidates: Sequence[Kernel], count: int) -> list[Kernel]:
    """So many distinct kernels of all sizes, the one with the median work first."""
    ordered = sorted({k.key: k for k in candidates}.values(), key=lambda kernel: (kernel.macs, kernel.key))
    places = [len(ordered) // 2, *np.linspace(0, len(ordered) - 1, count).round().astype(int).tolist()]
    return [ordered[place] for place in dict.fromkeys(places)][:count]


@dataclass
class Anchor:
    """Watches one device.

    Attributes:
        artifact: a library whose first kernel is the anchor; None where nothing drifts. Others are timed along with
            it, so that boards can be compared.
        history: every time the anchor took so far in all sessions, oldest first; new ones are added.
        times: of each kernel of the library, by key, the new ones.
        flagged: measurements kept although the anchor had drifted.
    """

    device: Device
    artifact: Artifact | None
    history: list[float]
    times: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    flagged: int = 0

    def drift(self) -> float:
        """Time the anchor: how much slower than its median over all sessions it runs now (1: as ever)."""
        if self.artifact is None:
            return 1.0
        samples = self.device.time_kernels(self.artifact, ANCHOR_RUNS)
        medians = [Timing.from_samples(column).median_us for column in samples.T]
        for kernel, value in zip(self.artifact.kernels, medians, strict=True):
            self.times[kernel.key].append(value)
        self.history.append(medians[0])
        return medians[0] / float(np.median(self.history))

    def steady(self, measure: Callable[[], T]) -> tuple[T, float]:
        """Measure while the anchor is steady; returns the attempt with the least drift, and that drift."""
        best: tuple[T, float] | None = None
        before = self.drift()
        for _ in range(ATTEMPTS):
            result = measure()
            after = self.drift()
            drift = max(before, after, key=lambda d: abs(d - 1))
            if best is None or abs(drift - 1) < abs(best[1] - 1):
                best = (result, drift)
            if abs(drift - 1) <= DRIFT_TOLERANCE:
                break
            before = after
        else:
            self.flagged += 1
        assert best is not None
        return best
