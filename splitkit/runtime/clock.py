"""Waiting to the microsecond, and emulating a slower processor by it.

All times are CLOCK_MONOTONIC in ns: on one machine every process reads the same clock.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

SPIN_NS = 400_000
"""The last part of a wait is spent polling the clock: a sleeping thread wakes 50-300 us late."""

now_ns = time.monotonic_ns


def wait_until(deadline_ns: int) -> None:
    """Return at `deadline_ns`, or at once if that has passed."""
    remaining = deadline_ns - now_ns()
    if remaining > SPIN_NS:
        time.sleep((remaining - SPIN_NS) / 1e9)
    while now_ns() < deadline_ns:
        pass


@dataclass(frozen=True)
class Pace:
    """How long a stage takes on the hardware it stands for.

    Attributes:
        time_scale: the stage takes this many times as long as here (1: as it is).
        fixed_us: the stage takes this long whatever happens here (a modelled device), unless here is slower.
    """

    time_scale: float = 1.0
    fixed_us: float | None = None

    def run(self, stage: Callable[[], T]) -> T:
        """Run `stage`, then wait until it has taken as long as it should.

        Under emulation the stage runs twice and the second run counts: the wait before it has cooled the caches and
        the clock, which the emulated core would not see magnified, and the time it costs is within the wait.
        """
        if self.fixed_us is not None:
            deadline = now_ns() + round(self.fixed_us * 1e3)
            result = stage()
            wait_until(deadline)
            return result
        if self.time_scale <= 1.0:
            return stage()
        start = now_ns()
        if self.time_scale >= 2.0:
            stage()
        begin = now_ns()
        result = stage()
        wait_until(start + round((now_ns() - begin) * self.time_scale))
        return result
