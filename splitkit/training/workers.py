"""The sub-networks of one step, trained side by side.

Sharing every convolution among threads has them wait for each other thousands of times a second; where something else
runs, each wait may last as long as the system lets the other run. A sub-network a thread needs one wait a step, and
small convolutions gain nothing from being shared anyway.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from copy import deepcopy
from typing import TypeVar

from splitkit.supernet import Supernet
from splitkit.training.threads import torch_threads

Result = TypeVar("Result")
Task = Callable[[Supernet], Result]
"""Adds its gradients to those of the supernet it is given."""


@contextmanager
def side_by_side(supernet: Supernet, threads: int, most: int) -> Iterator["Workers"]:
    """At most `most` workers that share `threads` threads evenly, torch's own among them."""
    count = max(1, min(threads, most))
    with torch_threads(max(1, threads // count)), ThreadPoolExecutor(count) as pool:
        yield Workers(supernet, count, pool)


class Workers:
    """Threads with twins of one supernet: the same weights in memory, gradients of their own.

    Who does what and the order in which gradients are added depend on the tasks and the number of workers alone, never
    on who is done first, so that training stays bit-exact.
    """

    def __init__(self, supernet: Supernet, count: int, pool: ThreadPoolExecutor) -> None:
        self.supernet = supernet
        self._pool = pool
        self._supernets = [supernet, *(_twin(supernet) for _ in range(count - 1))]

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._supernets)

    def run(self, tasks: Sequence[Task[Result]], costs: Sequence[float]) -> list[Result]:
        """Run all tasks and leave the sum of their gradients in the supernet; what they return, in order.

        Args:
            tasks: in any order; those that cost most are given out first.
            costs: of each, in any unit.
        """
        shares: list[list[int]] = [[] for _ in self._supernets]
        load = [0.0] * len(shares)
        for number in sorted(range(len(tasks)), key=lambda n: (-costs[n], n)):
            least = load.index(min(load))
            shares[least].append(number)
            load[least] += costs[number]
        found: dict[int, Result] = {}

        def work(supernet: Supernet, share: list[int]) -> None:
            for number in share:
                found[number] = tasks[number](supernet)

        pending = [self._pool.submit(work, *pair) for pair in zip(self._supernets[1:], shares[1:], strict=True)]
        work(self.supernet, shares[0])
        for done in pending:
            done.result()
        for twin in self._supernets[1:]:
            _add_gradients(self.supernet, twin)
        return [found[number] for number in range(len(tasks))]


def _twin(supernet: Supernet) -> Supernet:
    twin = deepcopy(supernet)
    for own, shared in zip(twin.parameters(), supernet.parameters(), strict=True):
        own.data = shared.data
    return twin


def _add_gradients(total: Supernet, twin: Supernet) -> None:
    for parameter, other in zip(total.parameters(), twin.parameters(), strict=True):
        if parameter.grad is None:
            parameter.grad = other.grad
        elif other.grad is not None:
            parameter.grad.add_(other.grad)
        other.grad = None
