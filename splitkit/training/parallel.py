"""Several small networks at work at once, one thread each.

Small convolutions gain nothing from being shared among threads, so a machine with two cores scores or fine-tunes two
networks in the time of one.
"""

import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import TypeVar

import torch

from splitkit.space.architecture import Architecture
from splitkit.space.network import describe
from splitkit.space.search_space import SearchSpace
from splitkit.supernet import Supernet
from splitkit.training.threads import threads_for, torch_threads

Result = TypeVar("Result")

Check = Callable[[], None]
"""Raises `CancelledError` once nobody waits for the result any more; to be called now and then."""


def in_parallel(
    task: Callable[[Architecture, Check], Result],
    supernet: Supernet,
    architectures: Sequence[Architecture],
    batch: int = 1,
) -> Generator[Result, None, None]:
    """What `task` returns of each architecture, in order, as it is done. Closing it ends what still runs.

    On another device than the processor, and where a batch of some network is worth sharing among threads, networks
    take turns, each with all of torch's threads. Others run side by side, with one thread each however many there are,
    so that results are the same bit for bit.

    Args:
        supernet: whose sub-networks they are.
        batch: images that are worked on at once.
    """
    threads, space = torch.get_num_threads(), supernet.space
    on_processor = next(supernet.parameters()).device.type == "cpu"
    alone = not on_processor or any(threads_for(batch * _macs(space, a)) > 1 for a in architectures)
    workers = 1 if alone else max(1, min(threads, len(architectures)))
    each = threads if alone else 1
    stop = threading.Event()

    def check() -> None:
        if stop.is_set():
            raise CancelledError

    with (
        torch_threads(each),
        ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(each,)) as pool,
    ):
        try:
            yield from pool.map(lambda architecture: task(architecture, check), architectures)
        finally:
            stop.set()


def _macs(space: SearchSpace, architecture: Architecture) -> int:
    network = describe(space, architecture)
    return network.macs("sensor") + network.macs("aggregator")
