"""Networks trained side by side: in order, as many as there are threads, and none that nobody waits for."""

import threading
import time

import pytest
import torch

from splitkit.space import Architecture, load_space
from splitkit.supernet import Supernet
from splitkit.training.parallel import Check, in_parallel
from splitkit.training.threads import SHARED_MACS, torch_threads

TINY = load_space("tiny")
SUPERNET = Supernet(TINY)
NETWORKS = [TINY.smallest(split) for split in range(1, 5)]


def test_results_come_in_order_and_two_threads_do_two_at_once() -> None:
    both = threading.Barrier(2)

    def task(architecture: Architecture, check: Check) -> tuple[int, int]:
        both.wait(timeout=30)  # a single worker would never get past
        time.sleep(0.05 * (4 - architecture.split))
        return architecture.split, torch.get_num_threads()

    with torch_threads(2):
        assert list(in_parallel(task, SUPERNET, NETWORKS, batch=1)) == [(split, 1) for split in range(1, 5)]
        assert torch.get_num_threads() == 2


def test_large_networks_take_turns_with_all_threads() -> None:
    running: list[int] = []

    def task(architecture: Architecture, check: Check) -> int:
        running.append(architecture.split)
        assert len(running) == 1
        time.sleep(0.02)
        running.remove(architecture.split)
        return torch.get_num_threads()

    with torch_threads(2):
        assert list(in_parallel(task, SUPERNET, NETWORKS, batch=int(SHARED_MACS))) == [2, 2, 2, 2]


def test_what_nobody_waits_for_ends() -> None:
    ended: list[int] = []

    def task(architecture: Architecture, check: Check) -> int:
        try:
            while architecture.split > 1:
                check()
                time.sleep(0.001)
        finally:
            ended.append(architecture.split)
        return architecture.split

    with torch_threads(2):
        results = in_parallel(task, SUPERNET, NETWORKS, batch=1)
        assert next(results) == 1
        results.close()
    assert {1, 2} <= set(ended) < {1, 2, 3, 4}


def test_a_failing_network_is_raised_and_ends_the_others() -> None:
    def task(architecture: Architecture, check: Check) -> int:
        if architecture.split == 1:
            raise ValueError("diverged")
        while True:
            check()
            time.sleep(0.001)

    with torch_threads(2), pytest.raises(ValueError, match="diverged"):
        list(in_parallel(task, SUPERNET, NETWORKS, batch=1))
