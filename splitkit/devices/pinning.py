"""Keep the measuring thread on chosen processors, and give it back its freedom afterwards."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from splitkit.errors import DeviceError


def usable_cpus() -> tuple[int, ...]:
    """Processor numbers this thread may use; all of them where the system has no notion of affinity."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def choose_cpus(threads: int, wanted: tuple[int, ...] | None, device: str) -> tuple[int, ...]:
    """The processors to pin to: `wanted`, or the last `threads` usable ones (the first serve most interrupts).

    Raises:
        DeviceError: this machine does not let the process use that many, or those.
    """
    usable = usable_cpus()
    if wanted is not None:
        missing = sorted(set(wanted) - set(usable))
        if missing:
            raise DeviceError(f"device {device}: cpus: {missing[0]} is not usable here", f"usable: {list(usable)}")
        return wanted
    if threads > len(usable):
        raise DeviceError(f"device {device}: threads: {threads} asked for, {len(usable)} processors are usable here")
    return usable[-threads:]


@contextmanager
def pinned(cpus: tuple[int, ...]) -> Iterator[None]:
    """Confine the calling thread, and threads it starts meanwhile, to `cpus`. Without affinity calls, do nothing."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
