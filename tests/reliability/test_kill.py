"""kill -9 at random moments, twenty times each: the same result as if undisturbed, and nothing half written."""

import json
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from splitkit.bundle import load_bundle
from tests.reliability.projects import check_no_partial_files, check_table, write_project
from tests.reliability.victim import finish, start

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

KILLS = 20


def killed_often(directory: Path, fresh: Callable[[], None], ended: Callable[[], None], *arguments: str) -> None:
    """Kill a command `KILLS` times, starting it again each time; whenever it gets to its end, begin afresh.

    Args:
        fresh: takes away what the command made.
        ended: called whenever it got to its end.
    """
    rng = random.Random(0)
    fresh()
    begun = time.monotonic()
    finish(directory, *arguments)
    duration_s = time.monotonic() - begun
    ended()
    fresh()
    kills = completed = 0
    while kills < KILLS:
        victim = start(directory, *arguments)
        time.sleep(rng.uniform(0, duration_s))
        if victim.signal(signal.SIGKILL):
            kills += victim.wait() == -signal.SIGKILL
            check_no_partial_files(directory)
        else:
            assert victim.wait() == 0, victim.text[-3000:]
            ended()
            fresh()
            completed += 1
        assert completed < 10 * KILLS, "it ends before it can be killed"
    finish(directory, *arguments)
    ended()


def test_train(project: Callable[..., Path], undisturbed: Path) -> None:
    directory = project()
    checkpoint = directory / "runs" / "r" / "supernet.pt"
    expected = torch.load(undisturbed / "runs/r/supernet.pt", weights_only=True)

    def same_weights() -> None:
        found = torch.load(checkpoint, weights_only=True)
        assert found["step"] == expected["step"]
        for name, tensor in expected["weights"].items():
            assert torch.equal(tensor, found["weights"][name]), name

    killed_often(directory, lambda: checkpoint.unlink(missing_ok=True), same_weights, "train", "--resume")


def test_bench(tmp_path: Path) -> None:
    directory = write_project(tmp_path / "p", "demo")
    table = directory / "runs" / "lut.db"
    graphs: set[int] = set()

    def fresh() -> None:
        for file in directory.glob("runs/lut.db*"):
            file.unlink()

    def complete() -> None:
        kernels, measured = check_table(table)
        assert kernels > 10
        graphs.add(measured)
        again = finish(directory, "bench", "--target", "sensor", "--json")
        assert '"measured": 0' in again.text, "a finished table has nothing left to measure"

    killed_often(directory, fresh, complete, "bench", "--target", "sensor")
    assert graphs


def test_search(project: Callable[..., Path], undisturbed: Path) -> None:
    directory = project("runs/r/supernet.pt")
    expected = (undisturbed / "runs/r/pareto.json").read_bytes()
    run = directory / "runs" / "r"

    def fresh() -> None:
        for file in run.iterdir():
            if file.name != "supernet.pt":
                file.unlink()

    def same_front() -> None:
        assert (run / "pareto.json").read_bytes() == expected
        answers = [json.loads(line) for line in (run / "search.jsonl").read_text().splitlines()[1:]]
        asked = [key for answer in answers for key in answer.get("accuracy", {})]
        assert len(asked) == len(set(asked)), "an accuracy was paid for twice"

    killed_often(directory, fresh, same_front, "search")


def test_export(project: Callable[..., Path], undisturbed: Path) -> None:
    directory = project("runs/r/supernet.pt", "runs/r/pareto.json")
    expected = load_bundle(undisturbed / "bundle").manifest

    def same_bundle() -> None:
        found = load_bundle(directory / "bundle").manifest
        assert found.architecture == expected.architecture
        for name in ("sensor.onnx", "aggregator.onnx"):
            assert found.files.get(name) == expected.files.get(name), name

    fresh = lambda: shutil.rmtree(directory / "bundle", ignore_errors=True)  # noqa: E731
    killed_often(directory, fresh, same_bundle, "export", "--split", "r", "-o", "bundle")


def test_export_over_an_older_bundle_never_leaves_half_of_either(project: Callable[..., Path]) -> None:
    directory = project("runs/r/supernet.pt", "runs/r/pareto.json")
    finish(directory, "export", "--split", "r", "-o", "bundle")
    rng = random.Random(1)
    for _ in range(5):
        victim = start(directory, "export", "--split", "r:0", "-o", "bundle")
        time.sleep(rng.uniform(0, 3))
        victim.signal(signal.SIGKILL)
        victim.wait()
        load_bundle(directory / "bundle")
