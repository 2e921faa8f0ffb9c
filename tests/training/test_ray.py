"""Candidates scored on a Ray cluster: the same result as in one process, whatever becomes of the workers."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest
import torch

from splitkit.data import Samples
from splitkit.errors import ClusterError
from splitkit.scratch import scratch_directory
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


@needs_ray
def test_an_address_where_nothing_answers_as_ray_does_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = f"127.0.0.1:{mute.getsockname()[1]}"
        start = time.monotonic()
        with (
            pytest.raises(ClusterError, match=f"{address}: no answer within 3 s") as caught,
            ray_cluster(address, answer_s=3),
        ):
            pass
    assert time.monotonic() - start < 15
    assert "pip install 'splitkit[ray]'" in str(caught.value)
    with pytest.raises(ClusterError, match="nonsense: Invalid address") as caught, ray_cluster("nonsense"):
        pass
    assert "\n" not in str(caught.value)


@needs_ray
@pytest.mark.slow
def test_a_cluster_of_others_is_left_up() -> None:
    with scratch_directory(Path("/tmp"), "others") as short:
        _visit_twice(short)


def _visit_twice(short: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--disable-usage-stats"]
    command += ["--port", port, "--num-cpus", "1", "--include-dashboard", "false", "--temp-dir", str(short)]
    environment = {**os.environ, "RAY_AUTH_MODE": "disabled"}
    visit = (
        "import sys\n"
        "from splitkit.training.ray_cluster import ray_cluster\n"
        "from splitkit.training.ray_evaluation import RayEvaluator\n"
        "from tests.training.test_ray import TINY, evaluator\n"
        "with ray_cluster(sys.argv[1]) as processors:\n"
        "    assert processors == 1, processors\n"
        "    print(RayEvaluator(evaluator()).score([TINY.largest(1)]))\n"
    )
    head = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(2):
            for _ in range(10):
                done = subprocess.run(
                    [sys.executable, "-c", visit, f"127.0.0.1:{port}"],
                    cwd=Path(__file__).parents[2], env=environment, capture_output=True, text=True,
                )  # fmt: skip
                if done.returncode == 0:
                    break
                time.sleep(1)
            assert done.returncode == 0, done.stderr
            assert done.stdout.strip() == str(evaluator().score([TINY.largest(1)]))
        assert head.poll() is None
    finally:
        head.terminate()
        head.wait(timeout=60)
