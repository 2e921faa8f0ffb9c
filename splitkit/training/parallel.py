"""Several small networks trained at once, one thread each.

Small convolutions gain nothing from being shared among threads, so a machine with two cores fine-tunes two networks in
the time of one.
"""

import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import TypeVar

import torch

from splitkit.space.architecture import Architecture
from splitkit.space.network import describe
from splitkit.space.search_space import SearchSpace
from splitkit.training.threads import threads_for, torch_threads

Result = TypeVar("Result")

Check = Callable[[], None]
"""Raises `CancelledError` once nobody waits for the result any more; to be called now and then."""


def in_parallel(
    task: Callable[[Architecture, Check], Result], space: SearchSpace, architectures: Sequence[Architecture], batch: int
) -> Generator[Result, None, None]:
    """What `task` returns of each architecture, in order, as it is done. Closing it ends what still runs.

    Networks of which some batch is worth sharing among threads take turns, each with all of torch's threads; others
    run side by side, with one thread each however many there are, so that results are the same bit for bit.

    Args:
        batch: images that are trained on at once.
    """
    threads = torch.get_num_threads()
    alone = threads == 1 or any(threads_for(batch * _macs(space, a)) > 1 for a in architectures)
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
