"""Joining the ranks that torchrun has started this process among."""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import uuid4

import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from splitkit.errors import ConfigError
from splitkit.training.ranks import TIMEOUT, Alone, Group, Ranks, needs_all

WANTED = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
"""What torchrun tells each process, all of it or nothing."""

LOOK_EVERY_S = 0.05


@dataclass(frozen=True, slots=True)
class Place:
    """Where torchrun has put this process: its rank of `size`, of those on this machine, and how often it restarted."""

    rank: int = 0
    size: int = 1
    local: int = 0
    restarts: int = 0

    @classmethod
    def of_environment(cls, environment: Mapping[str, str] = os.environ) -> "Place":
        """Read it.

        Raises:
            ConfigError: a variable is missing or out of range; it is named.
        """
        given = [name for name in WANTED if name in environment]
        if not {"RANK", "WORLD_SIZE", "LOCAL_RANK"} & set(given):
            return cls()
        for name in WANTED:
            if name not in environment:
                raise ConfigError(
                    f"environment: {given[0]} is set, {name} is not", "start ranks with torchrun, or unset all of them"
                )
        size = _number(environment, "WORLD_SIZE", 1, 2**16)
        return cls(
            _number(environment, "RANK", 0, size - 1),
            size,
            _number(environment, "LOCAL_RANK", 0, size - 1),
            _number(environment, "TORCHELASTIC_RESTART_COUNT", 0, 2**31),
        )

    def device(self, wanted: str, gpus: int) -> str:
        """Each rank has a GPU of its own, or all use processors.

        Raises:
            ConfigError: there are more ranks on this machine than GPUs, or `wanted` is one GPU for all of them.
        """
        if wanted == "auto":
            wanted = "cuda" if gpus else "cpu"
        if self.size == 1 or wanted == "cpu":
            return wanted
        if wanted != "cuda":
            raise ConfigError(f"device: {wanted!r} for {self.size} ranks", 'say "cuda": each takes one, or "cpu"')
        if self.local >= gpus:
            raise ConfigError(
                f"device: rank {self.rank} is number {self.local + 1} on a machine with {gpus} GPUs",
                f"torchrun --nproc-per-node {gpus}" if gpus else 'set device to "cpu"',
            )
        return f"cuda:{self.local}"


@contextmanager
def joined(device: str = "auto") -> Iterator[Ranks]:
    """The ranks that torchrun started this process among; `Alone` without torchrun.

    Raises:
        ConfigError: the environment or the device does not fit.
        RankLostError: the others did not come within `TIMEOUT`.
    """
    place = Place.of_environment()
    if place.size == 1:
        yield Alone(place.restarts > 0)
        return
    own = place.device(device, torch.cuda.device_count())
    if own != "cpu":
        torch.cuda.set_device(own)
    with needs_all(place.rank, place.size):
        store, _, _ = next(iter(rendezvous("env://", timeout=TIMEOUT)))
        attempt = PrefixStore(_attempt(store, place), store)
        dist.init_process_group(
            "gloo" if own == "cpu" else "nccl",
            store=attempt, rank=place.rank, world_size=place.size, timeout=TIMEOUT,
        )  # fmt: skip
    try:
        group = Group(place.rank, place.size, own)
        # Each machine counts the restarts that began there.
        group.restarted = group.most(place.restarts) > 0
        yield group
    finally:
        dist.destroy_process_group()


def _attempt(store: Store, place: Place) -> str:
    """A name for this attempt that all its ranks know and no earlier one had.

    torchrun keeps one store for all attempts, in which the addresses of dead ranks still stand, and tells nobody which
    attempt it is. So the first rank answers what is new each time: a name that each other rank makes up.
    """
    if place.rank > 0:
        own = uuid4().hex
        store.set(f"splitkit/here/{place.rank}", own)
        name: str = store.get(f"splitkit/attempt/{own}").decode()
        store.set(f"splitkit/{name}/{place.rank}", "")
        return name
    name, missing = uuid4().hex, set(range(1, place.size))
    answered: set[str] = set()
    until = time.monotonic() + TIMEOUT.total_seconds()
    while missing:
        for rank in sorted(missing):
            if store.check([f"splitkit/{name}/{rank}"]):
                missing.remove(rank)
            elif store.check([f"splitkit/here/{rank}"]):
                other = store.get(f"splitkit/here/{rank}").decode()
                if other not in answered:
                    answered.add(other)
                    store.set(f"splitkit/attempt/{other}", name)
        if time.monotonic() > until:
            raise RuntimeError(f"rank {min(missing)} did not come within {TIMEOUT.total_seconds():g} s")
        time.sleep(LOOK_EVERY_S)
    return name


def _number(environment: Mapping[str, str], name: str, least: int, most: int) -> int:
    text = environment.get(name, "0")
    if not (text.isascii() and text.isdigit() and least <= int(text) <= most):
        raise ConfigError(f"environment: {name}: {text[:40]!r}, a whole number in {least}..{most} is wanted")
    return int(text)
