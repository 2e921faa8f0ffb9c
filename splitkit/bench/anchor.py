"""A fixed kernel, timed around every measurement: how fast does the core run now, and does it stay so?

Processors change their clock with load, heat and, on shared machines, neighbours, by a tenth and more, for seconds or
for hours. The anchor has its data near and waits for nothing but the core: what it takes now over what it took
when it was first timed says how slow the clock is. A measurement counts if the clock did not change meanwhile, and is
stated at the clock of that first time; so rows of one table, and what is compared with them, belong together.
Devices that count instructions have no clock to watch, and no anchor.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from splitkit.compiler.kernel import Kernel
from splitkit.devices import UnscaledDevice
from splitkit.exporters.protocol import Artifact
from splitkit.latency.measurement import summarise
from splitkit.latency.residency import footprint_bytes

T = TypeVar("T")

STEADY = 0.015
"""The anchor's relative change beyond which a measurement is repeated: half a step of 100 MHz at 3.3 GHz."""

DISTURBED = 0.2
"""How much longer than the first time no lower clock explains: somebody else is at work on the core, or on the other
thread of it, and not every kernel suffers alike."""

NEAR_BYTES = 192 * 1024
"""What stays in any core's own caches."""

ATTEMPTS = 4
ANCHOR_RUNS = 60


def choose_anchor(candidates: Sequence[Kernel]) -> Kernel:
    """The kernel with the most work among those that wait for no memory, having all their data near."""
    ordered = _by_work(candidates)
    return [kernel for kernel in ordered if footprint_bytes([kernel]) <= NEAR_BYTES or kernel is ordered[0]][-1]


def choose_sample(candidates: Sequence[Kernel], count: int) -> list[Kernel]:
    """So many distinct kernels, the anchor first, the others of all sizes."""
    ordered = _by_work(candidates)
    spread = [ordered[place] for place in np.linspace(0, len(ordered) - 1, count).round().astype(int)]
    return list(dict.fromkeys([choose_anchor(candidates), *spread]))[:count]


def _by_work(kernels: Sequence[Kernel]) -> list[Kernel]:
    return sorted({kernel.key: kernel for kernel in kernels}.values(), key=lambda kernel: (kernel.macs, kernel.key))


@dataclass
class Anchor:
    """Watches one device.

    Attributes:
        artifact: a library whose first kernel is the anchor; None where nothing drifts. Others are timed along with
            it, so that boards can be compared.
        reference: the anchor's first time, in any session, which all others are relative to.
        times: of each kernel of the library, by key, the new ones.
        flagged: measurements kept although the clock was not steady, or the core not its own.
    """

    device: UnscaledDevice
    artifact: Artifact | None = None
    reference: float | None = None
    times: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    flagged: int = 0

    def drift(self) -> float:
        """Time the anchor: how many times as long it takes as the first time."""
        if self.artifact is None:
            return 1.0
        times = self._time(self.artifact)
        if self.reference is None:  # one that the next confirms
            for _ in range(2 * ATTEMPTS):
                before, times = times, self._time(self.artifact)
                if abs(times[0] / before[0] - 1) <= STEADY:
                    break
            self.reference = times[0]
        for kernel, value in zip(self.artifact.kernels, times, strict=True):
            self.times[kernel.key].append(value)
        return times[0] / self.reference

    def _time(self, artifact: Artifact) -> list[float]:
        samples = self.device.time_kernels(artifact, ANCHOR_RUNS)
        return [float(time) for time in summarise(samples)[0]]

    def steady(self, measure: Callable[[], T]) -> tuple[T, float]:
        """Measure while the clock is steady; returns the attempt during which it changed least, and the drift then."""
        best: tuple[float, T, float] | None = None
        before = self.drift()
        for _ in range(ATTEMPTS):
            result = measure()
            after = self.drift()
            change = max(abs(after / before - 1), after - 1 - DISTURBED)
            if best is None or change < best[0]:
                best = (change, result, (before * after) ** 0.5)
            if change <= STEADY:
                break
            before = after
        else:
            self.flagged += 1
        assert best is not None
        return best[1:]
