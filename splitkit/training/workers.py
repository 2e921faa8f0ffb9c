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
from splitkit.training.ranks import Alone, Ranks
from splitkit.training.threads import torch_threads

Result = TypeVar("Result")
Task = Callable[[Supernet], Result]
"""Adds its gradients to those of the supernet it is given."""


@contextmanager
def side_by_side(supernet: Supernet, threads: int, most: int, ranks: Ranks | None = None) -> Iterator["Workers"]:
    """At most `most` workers a rank, which share its `threads` threads evenly, torch's own among them."""
    count = max(1, min(threads, most))
    with torch_threads(max(1, threads // count)), ThreadPoolExecutor(count) as pool:
        yield Workers(supernet, count, pool, ranks or Alone())


class Workers:
    """Threads with twins of one supernet: the same weights in memory, gradients of their own.

    Those of all ranks are numbered through: two ranks of one worker share work as one rank of two. Who does what and
    the order in which gradients are added depend on the tasks and the number of workers alone, never on who is done
    first, so that training stays bit-exact.
    """

    def __init__(self, supernet: Supernet, count: int, pool: ThreadPoolExecutor, ranks: Ranks) -> None:
        self.supernet = supernet
        self._ranks = ranks
        self._pool = pool
        self._supernets = [supernet, *(_twin(supernet) for _ in range(count - 1))]

    @property
    def count(self) -> int:
        """How many there are, those of all ranks together."""
        return len(self._supernets) * self._ranks.size

    def assign(self, costs: Sequence[float]) -> list[list[int]]:
        """The tasks, by number, of each worker of this rank.

        Args:
            costs: of each task, in any unit; those that cost most are given out first.
        """
        shares: list[list[int]] = [[] for _ in range(self.count)]
        load = [0.0] * len(shares)
        for number in sorted(range(len(costs)), key=lambda n: (-costs[n], n)):
            least = load.index(min(load))
            shares[least].append(number)
            load[least] += costs[number]
        here = len(self._supernets)
        return shares[self._ranks.rank * here : (self._ranks.rank + 1) * here]

    def run(self, tasks: Sequence[Task[Result]], costs: Sequence[float]) -> list[Result]:
        """Run this rank's tasks and leave the sum of their gradients in the supernet; what they return, in order.

        Args:
            tasks: those of all ranks, in any order; of those that `assign` gives to others nothing is used.
            costs: of each, as for `assign`.
        """
        shares = self.assign(costs)
        found: dict[int, Result] = {}

        def work(supernet: Supernet, share: Sequence[int]) -> None:
            for number in share:
                found[number] = tasks[number](supernet)

        pending = [self._pool.submit(work, *pair) for pair in zip(self._supernets[1:], shares[1:], strict=True)]
        work(self.supernet, shares[0])
        for done in pending:
            done.result()
        for twin in self._supernets[1:]:
            _add_gradients(self.supernet, twin)
        return [found[number] for number in sorted(found)]


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
