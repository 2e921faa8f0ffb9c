"""Getting to a Ray cluster, and leaving it as it was."""

import os
import socket
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from splitkit.errors import ClusterError
from splitkit.scratch import scratch_directory
from splitkit.training.ray_cluster import ray_cluster
from tests.training.test_ray import TINY, evaluator

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="pip install 'splitkit[ray]'")


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
