"""When a kernel is worth splitting over threads."""

from splitkit.exporters.tvm.machine import Machine

FORK_NS = 20_000
"""What waking and joining TVM's worker threads may cost; measured 3-8 us, with room for a busy machine."""
MACS_PER_NS = 16
"""Multiply-adds of one core in a nanosecond, per 16 lanes: optimistic, which errs towards one thread."""
BYTES_PER_NS = 20


def parallel(machine: Machine, macs: int, traffic_bytes: int, pieces: int) -> bool:
    """Whether `pieces` equal parts of a kernel should run on several threads.

    Only if one thread would take several times what the fork costs, and there is a piece for each thread.
    """
    if machine.threads < 2 or pieces < 2:
        return False
    busy_ns = max(macs / (MACS_PER_NS * machine.lanes), traffic_bytes / BYTES_PER_NS)
    return busy_ns > FORK_NS
