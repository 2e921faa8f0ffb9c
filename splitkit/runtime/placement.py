"""Which processors the processes of a system run on when they share one machine."""

import gc
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass

from splitkit.devices.pinning import choose_cpus, pinned, usable_cpus
from splitkit.profiles.schema import System
from splitkit.runtime.clock import OWN_PROCESSOR, SHARED_PROCESSOR, Patience


@dataclass(frozen=True)
class Placement:
    """Processor numbers of one process, and how it may wait on them."""

    cpus: tuple[int, ...]
    patience: Patience

    def taken(self) -> AbstractContextManager[None]:
        """Confine the calling thread, and threads it starts meanwhile, to these processors."""
        return pinned(self.cpus)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Run frames: without garbage collection, and with real-time priority where that is permitted.

    A stage's latency is that of hardware which has nothing else to do, so other work on the machine has to wait.
    Without the permission it is measured as it comes; nice values would not help, since systems that group processes by
    session weigh them within a session only.
    """
    gc.collect()
    gc.disable()
    raised = False
    if hasattr(os, "sched_setscheduler"):
        with suppress(OSError):  # not permitted, or not known here
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(os.sched_get_priority_min(os.SCHED_FIFO)))
            raised = True
    try:
        yield
    finally:
        if raised:
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        gc.enable()


def place_aggregator(system: System) -> Placement:
    """The processors of the profile, or the last ones: those the bench pins to as well."""
    profile = system.aggregator
    cpus = choose_cpus(profile.threads, profile.cpus, profile.name)
    return Placement(cpus, OWN_PROCESSOR if len(usable_cpus()) > 1 else SHARED_PROCESSOR)


def place_sensor(system: System, view: int, views: int) -> Placement:
    """The processors of the profile, or one of those the aggregator leaves free, view by view.

    Sensors that have to share a processor sleep rather than poll, so that they do not take it from each other.
    """
    profile = system.sensor
    if profile.cpus is not None:
        return Placement(choose_cpus(profile.threads, profile.cpus, profile.name), SHARED_PROCESSOR)
    aggregator = place_aggregator(system).cpus
    free = tuple(cpu for cpu in usable_cpus() if cpu not in aggregator)
    groups = len(free) // profile.threads
    if groups == 0:
        return Placement(usable_cpus(), SHARED_PROCESSOR)
    first = (view % groups) * profile.threads
    return Placement(free[first : first + profile.threads], OWN_PROCESSOR if views <= groups else SHARED_PROCESSOR)
