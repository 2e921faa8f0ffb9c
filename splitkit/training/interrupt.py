"""Ctrl-C, or another request to stop, between steps instead of within one."""

from contextlib import AbstractContextManager

from splitkit.processes import Requests, stop_signals


def deferred_interrupt() -> AbstractContextManager[Requests]:
    """Turn the first request to stop into a flag, so that a step is never left half done; a second one stops at once.

    Whoever sees the flag raises KeyboardInterrupt, of which leaving the context makes one that names the signal.
    """
    return stop_signals(patient=True)
