"""The processes that train one supernet together: ranks, as torchrun starts them.

Every rank holds the same weights, runs its share of a step's work and adds its gradients to those of the others, so
that all take the same step. The engine is torch.distributed: gloo on processors, nccl on CUDA.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from typing import Protocol

import torch
import torch.distributed as dist
from torch import Tensor, nn

from splitkit.errors import ConfigError, TrainingError, reason
from splitkit.processes import Requests

TIMEOUT = timedelta(minutes=10)
"""How long a rank waits for the others before it gives up: they may be reading a large data set."""


class RankLostError(TrainingError):
    """Another rank ended, did not come, or said nothing for `TIMEOUT`."""


class Ranks(Protocol):
    """All ranks, as one of them sees them.

    Attributes:
        rank: this one, from 0. The first one writes files and talks to people.
        size: how many there are.
        restarted: this is not the first attempt: a rank was lost, and torchrun started all of them again.
    """

    rank: int
    size: int
    restarted: bool

    def device(self, wanted: str) -> str:
        """The device of this rank, where `wanted` is `auto`, `cpu`, `cuda`, ..."""
        ...

    def listen(self, requests: Requests) -> None:
        """Have `asked` tell of requests to stop from here on."""
        ...

    @property
    def asked(self) -> bool:
        """Whether any rank was asked to stop, by what was known at the last `add_up`: all say the same."""
        ...

    def add_up(self, model: nn.Module, numbers: Sequence[float]) -> list[float]:
        """Replace the gradients of a model by their sums over all ranks; the sums of `numbers`. One message.

        A parameter that has no gradient on any rank is left without.

        Raises:
            RankLostError: another rank is gone. The weights are as they were.
        """
        ...

    def from_first(self, number: int) -> int:
        """What the first rank says."""
        ...

    def agree(self, facts: Mapping[str, bytes]) -> None:
        """Refuse to go on unless all ranks hold the same facts.

        Raises:
            ConfigError: they do not; the fact is named, on all ranks.
        """
        ...

    def wait(self) -> None:
        """Until all ranks have come here."""
        ...


class Alone:
    """A process by itself is the first and only rank; nothing is sent."""

    rank, size = 0, 1

    def __init__(self, restarted: bool = False) -> None:
        self.restarted = restarted
        self._requests = Requests()

    def device(self, wanted: str) -> str:
        return wanted

    def listen(self, requests: Requests) -> None:
        self._requests = requests

    @property
    def asked(self) -> bool:
        return self._requests.asked

    def add_up(self, model: nn.Module, numbers: Sequence[float]) -> list[float]:
        return list(numbers)

    def from_first(self, number: int) -> int:
        return number

    def agree(self, facts: Mapping[str, bytes]) -> None:
        pass

    def wait(self) -> None:
        pass


class Group:
    """One of several ranks. What is sent has the same layout on all of them, whatever each has run."""

    def __init__(self, rank: int, size: int, device: str) -> None:
        self.rank, self.size, self.restarted = rank, size, False
        self._device = device
        self._requests = Requests()
        self._asked = False
        self._buffer = torch.empty(0)

    def device(self, wanted: str) -> str:
        return self._device

    def listen(self, requests: Requests) -> None:
        self._requests = requests

    @property
    def asked(self) -> bool:
        return self._asked

    def add_up(self, model: nn.Module, numbers: Sequence[float]) -> list[float]:
        parameters = list(model.parameters())
        sizes = [parameter.numel() for parameter in parameters]
        tail = [*(float(p.grad is not None) for p in parameters), float(self._requests.asked), *numbers]
        if len(self._buffer) != sum(sizes) + len(tail):
            self._buffer = torch.empty(sum(sizes) + len(tail), device=self._device)
        *gradients, last = torch.split(self._buffer, [*sizes, len(tail)])
        for parameter, gradient in zip(parameters, gradients, strict=True):
            if parameter.grad is None:
                gradient.zero_()
            else:
                gradient.view(parameter.shape).copy_(parameter.grad)
        last.copy_(torch.tensor(tail))
        with self._together():
            dist.all_reduce(self._buffer)
        found: list[float] = last.tolist()
        for parameter, gradient, having in zip(parameters, gradients, found, strict=False):
            if having:
                if parameter.grad is None:
                    parameter.grad = torch.empty_like(parameter)
                parameter.grad.copy_(gradient.view(parameter.shape))
        asked, *sums = found[len(parameters) :]
        self._asked = asked > 0
        return sums

    def from_first(self, number: int) -> int:
        said = torch.tensor([number], device=self._device)
        with self._together():
            dist.broadcast(said, src=0)
        return int(said)

    def agree(self, facts: Mapping[str, bytes]) -> None:
        own = torch.tensor([_digest(fact) for fact in facts.values()], device=self._device)
        everyone = [torch.empty_like(own) for _ in range(self.size)]
        with self._together():
            dist.all_gather(everyone, own)
        for rank, other in enumerate(everyone):
            for name, same in zip(facts, (other == everyone[0]).tolist(), strict=True):
                if not same:
                    raise ConfigError(
                        f"rank {rank} of {self.size}: its {name} differs from that of rank 0",
                        "all machines need the same project, data, versions and, on a shared disk, runs/",
                    )

    def wait(self) -> None:
        with self._together():
            dist.barrier()

    def most(self, number: int) -> int:
        """The largest number that any rank says."""
        said = torch.tensor([number], device=self._device)
        with self._together():
            dist.all_reduce(said, dist.ReduceOp.MAX)
        return int(said)

    def _together(self) -> AbstractContextManager[None]:
        return needs_all(self.rank, self.size)


@contextmanager
def needs_all(rank: int, size: int) -> Iterator[None]:
    """Make a `RankLostError` of what the engine raises when another rank is missing."""
    try:
        yield
    except RuntimeError as error:
        why = reason(error).rpartition("] ")[2].split(". ")[0]  # without the engine's files and lines
        raise RankLostError(
            f"rank {rank} of {size}: another rank is gone: {why}",
            "torchrun --max-restarts N goes on from the last checkpoint by itself",
        ) from error


def weights_digest(model: nn.Module) -> bytes:
    """Equal for equal weights."""
    digest = hashlib.sha256()
    for name, value in model.state_dict().items():
        digest.update(name.encode())
        digest.update(_bytes(value))
    return digest.digest()


def _bytes(value: Tensor) -> bytes:
    return value.detach().cpu().contiguous().numpy().tobytes()


def _digest(fact: bytes) -> int:
    return int.from_bytes(hashlib.sha256(fact).digest()[:7])
