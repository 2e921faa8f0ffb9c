"""Candidates scored on a Ray cluster: the same result as in one process, whatever becomes of the workers."""

import os
import signal
import threading
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest
import torch

from splitkit.data import Samples
from splitkit.errors import ClusterError
from splitkit.search import Evaluator, Journal, SearchConfig, SearchResult, search
from splitkit.supernet import Supernet
from splitkit.training import SupernetEvaluator
from splitkit.training.ray_cluster import ray_cluster
from splitkit.training.ray_evaluation import RayEvaluator
from tests.networks import digit_images, random_architectures
from tests.search.hardware import TINY, FormulaPredictor, system

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="pip install 'splitkit[ray]'")
CONFIG = SearchConfig(population=6, generations=2, seed=1)


class Deadly(Supernet):
    """Whoever computes with it dies, as one does for whom there is no memory."""

    def forward(self, *_: object) -> torch.Tensor:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


def evaluator(supernet: Supernet | None = None, images: int = 48) -> SupernetEvaluator:
    """Scores on digits, with random weights unless there are others."""
    every = torch.from_numpy(digit_images(frames=images + 32))
    labels = torch.arange(images) % 10
    return SupernetEvaluator(supernet or Supernet(TINY, 3), Samples(every[:images], labels), every[images:])


def searched(scores: Evaluator, journal: Path) -> SearchResult:
    paper = system()
    return search(TINY, paper, FormulaPredictor(TINY, paper), scores, CONFIG, journal=Journal(journal))


@pytest.fixture(scope="module")
def cluster() -> Iterator[int]:
    with ray_cluster("local") as processors:
        yield processors


@needs_ray
def test_a_search_on_ray_finds_and_keeps_what_one_process_does(cluster: int, tmp_path: Path) -> None:
    assert cluster == len(os.sched_getaffinity(0))
    on_ray, alone = (tmp_path / name for name in ("ray.jsonl", "alone.jsonl"))
    found = searched(RayEvaluator(evaluator()), on_ray)
    assert found == searched(evaluator(), alone)
    assert on_ray.read_bytes() == alone.read_bytes()
    assert found.scored_on == 48


@needs_ray
def test_what_is_known_is_not_asked_again(cluster: int) -> None:
    one, other = random_architectures(TINY, 2, seed=0)
    inner = evaluator()
    scores = RayEvaluator(inner).score([one, other, one])
    assert scores[0] == scores[2]
    assert set(inner.cache) == {one, other}
    assert scores == evaluator().score([one, other, one])
    assert RayEvaluator(evaluator(Deadly(TINY))).score([]) == []
    inner.supernet = Deadly(TINY)
    assert RayEvaluator(inner).score([other, one]) == [scores[1], scores[0]]


@needs_ray
def test_a_second_cluster_is_refused_and_the_first_stays(cluster: int) -> None:
    with pytest.raises(ClusterError, match="connected to a Ray cluster already"), ray_cluster("local"):
        pass
    assert len(RayEvaluator(evaluator()).score([TINY.smallest(1)])) == 1


@needs_ray
@pytest.mark.slow
def test_workers_killed_mid_run_change_nothing(cluster: int, tmp_path: Path) -> None:
    over, killed = threading.Event(), []

    def kill() -> None:
        """Kill a worker that is at work, a second after the one before."""
        while not over.wait(0.02):
            for process in psutil.Process().children(recursive=True):
                if len(killed) < 4 and process.name().startswith("ray::_score"):
                    process.kill()
                    killed.append(process.pid)
                    over.wait(1)

    murderer = threading.Thread(target=kill)
    murderer.start()
    try:
        found = searched(RayEvaluator(evaluator(images=1000)), tmp_path / "ray.jsonl")
    finally:
        over.set()
        murderer.join()
    assert len(killed) >= 2
    assert found == searched(evaluator(images=1000), tmp_path / "alone.jsonl")


@needs_ray
@pytest.mark.slow
def test_a_candidate_that_kills_every_worker_is_given_up_in_one_line(cluster: int) -> None:
    with pytest.raises(ClusterError, match="gave up on a candidate after 2 attempts") as caught:
        RayEvaluator(evaluator(Deadly(TINY)), attempts=2).score([TINY.largest(1)])
    assert "\n" not in str(caught.value)
