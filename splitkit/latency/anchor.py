"""A fixed kernel, timed around every measurement: how fast does the core run now, and does it stay so?

Processors change their clock with load, heat and, on shared machines, neighbours, by a tenth and more, for seconds or
for hours. The anchor fits into the first cache and waits for nothing but the core: what it takes now over what it took
when it was first timed says how slow the clock is. A measurement counts if the clock did not change meanwhile, and is
stated at the clock of that first time; so rows of one table, and what is compared with them, belong together.
Devices that count instructions have no clock to watch, and no anchor.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from splitkit.devices import Device, Timing
from splitkit.exporters.protocol import Artifact, Kernel

T = TypeVar("T")

STEADY = 0.015
"""The anchor's relative change beyond which a measurement is repeated: half a step of 100 MHz at 3.3 GHz."""

DISTURBED = 0.3
"""Relative deviation from its first time that no clock explains: something else runs on the core."""

ATTEMPTS = 4
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
        history: every time the anchor took so far in all sessions, oldest first; new ones are added. The first is what
            all others are relative to.
        times: of each kernel of the library, by key, the new ones.
        flagged: measurements kept although the clock was not steady, or the core not its own.
    """

    device: Device
    artifact: Artifact | None
    history: list[float]
    times: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    flagged: int = 0

    def drift(self) -> float:
        """Time the anchor: how many times as long it takes as the first time."""
        if self.artifact is None:
            return 1.0
        if not self.history:
            self._first()
        return self._time() / self.history[0]

    def _first(self) -> None:
        """The time that all others will be relative to: one that the next confirms."""
        found = [self._time()]
        while len(found) < 2 * ATTEMPTS and (len(found) < 2 or abs(found[-1] / found[-2] - 1) > STEADY):
            found.append(self._time())
        self.history[:] = [found[-1]]
        assert self.artifact is not None
        self.times[self.artifact.kernels[0].key] = [found[-1]]

    def _time(self) -> float:
        assert self.artifact is not None
        samples = self.device.time_kernels(self.artifact, ANCHOR_RUNS)
        medians = [Timing.from_samples(column).median_us for column in samples.T]
        for kernel, value in zip(self.artifact.kernels, medians, strict=True):
            self.times[kernel.key].append(value)
        self.history.append(medians[0])
        return medians[0]

    def steady(self, measure: Callable[[], T]) -> tuple[T, float]:
        """Measure while the clock is steady; returns the attempt during which it changed least, and the drift then."""
        best: tuple[float, T, float] | None = None
        before = self.drift()
        for _ in range(ATTEMPTS):
            result = measure()
            after = self.drift()
            change = max(abs(after / before - 1), abs(after - 1) - DISTURBED)
            if best is None or change < best[0]:
                best = (change, result, (before * after) ** 0.5)
            if change <= STEADY:
                break
            before = after
        else:
            self.flagged += 1
        assert best is not None
        return best[1:]
