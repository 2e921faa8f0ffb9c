"""How many threads torch itself is worth."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

SHARED_MACS = 1e9
"""Multiply-accumulates of a batch from which sharing its operators among threads is worth their waiting for each
other. Below, where another process holds a core, the threads mostly wait for it."""


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """torch's own threads set to `count`, for as long as the context lasts."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def threads_for(macs: float) -> int:
    """Of the threads torch has, as many as a batch of so many multiply-accumulates is worth: all of them, or one."""
    return torch.get_num_threads() if macs >= SHARED_MACS else 1
