"""The work of one training step, done side by side.

Sharing every convolution among threads has them wait for each other thousands of times a second; where something else
runs, each wait may last as long as the system lets the other run. A sub-network a thread needs one wait a step, and
small convolutions gain nothing from being shared anyway.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from copy import deepcopy
from typing import Generic, TypeVar

from torch import nn

from splitkit.training.ranks import Alone, Ranks
from splitkit.training.threads import torch_threads

Model = TypeVar("Model", bound=nn.Module)
Result = TypeVar("Result")

LEAST_PART = 32
"""Fewest images of a part of a batch: batch norms average over it."""


def parts_of(batch: int, workers: int) -> int:
    """Parts that a batch is cut into for so many workers."""
    return max(1, min(workers, batch // LEAST_PART))


@contextmanager
def side_by_side(model: Model, threads: int, most: int, ranks: Ranks | None = None) -> Iterator["Workers[Model]"]:
    """At most `most` workers a rank, which share its `threads` threads evenly, torch's own among them."""
    count = max(1, min(threads, most))
    with torch_threads(max(1, threads // count)), ThreadPoolExecutor(count) as pool:
        yield Workers(model, count, pool, ranks or Alone())


class Workers(Generic[Model]):
    """Threads with twins of one model: the same weights in memory, gradients of their own.

    Those of all ranks are numbered through: two ranks of one worker share work as one rank of two. Who does what and
    the order in which gradients are added depend on the tasks and the number of workers alone, never on who is done
    first, so that training stays bit-exact.
    """

    def __init__(self, model: Model, count: int, pool: ThreadPoolExecutor, ranks: Ranks) -> None:
        self.model = model
        self._ranks = ranks
        self._pool = pool
        self._models = [model, *(_twin(model) for _ in range(count - 1))]

    @property
    def count(self) -> int:
        """How many there are, those of all ranks together."""
        return len(self._models) * self._ranks.size

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
        here = len(self._models)
        return shares[self._ranks.rank * here : (self._ranks.rank + 1) * here]

    def run(self, tasks: Sequence[Callable[[Model], Result]], costs: Sequence[float]) -> list[Result]:
        """Run this rank's tasks and leave the sum of their gradients in its model; what they return, in order.

        Args:
            tasks: those of all ranks, in any order, each adding its gradients to those of the model it is given; of
                those that `assign` gives to others nothing is used.
            costs: of each, as for `assign`.
        """
        shares = self.assign(costs)
        found: dict[int, Result] = {}

        def work(model: Model, share: Sequence[int]) -> None:
            for number in share:
                found[number] = tasks[number](model)

        pending = [self._pool.submit(work, *pair) for pair in zip(self._models[1:], shares[1:], strict=True)]
        work(self.model, shares[0])
        for done in pending:
            done.result()
        for twin in self._models[1:]:
            _add_gradients(self.model, twin)
        return [found[number] for number in sorted(found)]


def _twin(model: Model) -> Model:
    twin = deepcopy(model)
    for own, shared in zip(twin.parameters(), model.parameters(), strict=True):
        own.data = shared.data
    return twin


def _add_gradients(total: nn.Module, twin: nn.Module) -> None:
    for parameter, other in zip(total.parameters(), twin.parameters(), strict=True):
        if parameter.grad is None:
            parameter.grad = other.grad
        elif other.grad is not None:
            parameter.grad.add_(other.grad)
        other.grad = None
