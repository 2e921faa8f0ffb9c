"""Waiting to the microsecond. Times are CLOCK_MONOTONIC in ns: processes of one machine read the same clock."""

import time
from dataclasses import dataclass

now_ns = time.monotonic_ns


@dataclass(frozen=True)
class Patience:
    """How a process waits: polling is exact and keeps the processor awake, sleeping leaves it to others.

    Attributes:
        spin_ns: the last part of a wait is spent polling the clock: a sleeping thread wakes 50-300 us late, and finds
            its caches full of what others did meanwhile.
        poll_ns: how long a receiver polls its socket before it sleeps on it.
    """

    spin_ns: int
    poll_ns: int

    def wait_until(self, deadline_ns: int) -> None:
        """Return at `deadline_ns`, or at once if that has passed."""
        remaining = deadline_ns - now_ns()
        if remaining > self.spin_ns:
            time.sleep((remaining - self.spin_ns) / 1e9)
        while now_ns() < deadline_ns:
            pass


OWN_PROCESSOR = Patience(spin_ns=20_000_000, poll_ns=20_000_000)
"""Waits of up to 20 ms are polled; by longer ones, of which microseconds are no share, others get their turn."""

SHARED_PROCESSOR = Patience(spin_ns=60_000, poll_ns=0)
