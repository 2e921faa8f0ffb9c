"""Stopped at random moments, kindly or not: no process and no file left over, and the same result as if undisturbed."""

import json
import os
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
from tests.reliability.victim import Conditions, finish, offspring, start

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

STOPS = 10
GONE_WITHIN_S = 3.0

signals = pytest.mark.parametrize(
    "number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT], ids=lambda number: number.name
)


def stopped_often(
    directory: Path,
    number: signal.Signals,
    fresh: Callable[[], None],
    ended: Callable[[], None],
    *arguments: str,
    wanted: int = STOPS,
) -> None:
    """Stop a command so often, starting it again each time; whenever it gets to its end, begin afresh.

    Args:
        fresh: takes away what the command made.
        ended: called whenever it got to its end.
    """
    rng = random.Random(int(number))
    temporary = directory.parent / "temporary"
    temporary.mkdir()
    conditions = Conditions(temporary=temporary)
    fresh()
    begun = time.monotonic()
    finish(directory, *arguments, conditions=conditions)
    duration_s = time.monotonic() - begun
    ended()
    files = everything(directory)
    fresh()
    stops = completed = 0
    while stops < wanted:
        victim = start(directory, *arguments, conditions=conditions)
        time.sleep(rng.uniform(0, duration_s))
        victim.signal(number)
        status = victim.wait()
        assert "Traceback" not in victim.text, victim.text[-3000:]
        check_nothing_runs_on(temporary)
        if number != signal.SIGKILL:
            assert not list(temporary.iterdir()), victim.text[-3000:]
        if status == 0:
            ended()
            fresh()
            completed += 1
        else:
            # The signal's own status: it came before the command, or after its end.
            assert status in (-number, 128 + number), victim.text[-3000:]
            stops += 1
            check_no_partial_files(directory)
        assert completed < 10 * wanted, "it ends before it can be stopped"
    finish(directory, *arguments, conditions=conditions)
    ended()
    assert everything(directory) == files
    assert not list(temporary.iterdir())


def check_nothing_runs_on(temporary: Path) -> None:
    deadline = time.monotonic() + GONE_WITHIN_S
    while left := offspring(temporary):
        assert time.monotonic() < deadline, left
        time.sleep(0.02)


def everything(directory: Path) -> set[str]:
    """Every file and directory, but SQLite's own beside its table, which the next who opens it takes up."""
    found = {path.relative_to(directory).as_posix() for path in directory.rglob("*")}
    return {name for name in found if not name.endswith((".db-wal", ".db-shm"))}


@signals
def test_train(project: Callable[..., Path], undisturbed: Path, number: signal.Signals) -> None:
    directory = project()
    checkpoint = directory / "runs" / "r" / "supernet.pt"
    expected = torch.load(undisturbed / "runs/r/supernet.pt", weights_only=True)

    def same_weights() -> None:
        found = torch.load(checkpoint, weights_only=True)
        assert found["step"] == expected["step"]
        for name, tensor in expected["weights"].items():
            assert torch.equal(tensor, found["weights"][name]), name

    stops = 2 * STOPS if number == signal.SIGKILL else STOPS
    stopped_often(
        directory, number, lambda: checkpoint.unlink(missing_ok=True), same_weights, "train", "--resume", wanted=stops
    )


@signals
def test_bench(tmp_path: Path, number: signal.Signals) -> None:
    directory = write_project(tmp_path / "p", "demo")
    table = directory / "runs" / "lut.db"

    def fresh() -> None:
        for file in directory.glob("runs/lut.db*"):
            file.unlink()

    def complete() -> None:
        kernels, graphs = check_table(table)
        assert kernels > 10
        assert graphs

    stopped_often(directory, number, fresh, complete, "bench", "--target", "sensor")
    again = finish(directory, "bench", "--target", "sensor", "--json")
    assert '"measured": 0' in again.text, "a finished table has nothing left to measure"


@signals
def test_bench_of_a_bundle(project: Callable[..., Path], undisturbed: Path, number: signal.Signals) -> None:
    directory = project()
    shutil.copytree(undisturbed / "bundle", directory / "bundle")
    whole = load_bundle(directory / "bundle")

    def same_bundle() -> None:
        assert load_bundle(directory / "bundle").id == whole.id

    stopped_often(directory, number, lambda: None, same_bundle, "bench", "bundle", "--frames", "10")
    runtime = ("--runtime", "onnxruntime")
    measured = finish(directory, "bench", "bundle", "--frames", "10", "--json", *runtime)
    assert '"top1_agreement": 1.0' in measured.text


@signals
def test_search(project: Callable[..., Path], undisturbed: Path, number: signal.Signals) -> None:
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

    stopped_often(directory, number, fresh, same_front, "search")


@signals
def test_export(project: Callable[..., Path], undisturbed: Path, number: signal.Signals) -> None:
    directory = project("runs/r/supernet.pt", "runs/r/pareto.json")
    expected = load_bundle(undisturbed / "bundle").manifest

    def same_bundle() -> None:
        found = load_bundle(directory / "bundle").manifest
        assert found.origin == expected.origin
        for name in ("sensor.onnx", "aggregator.onnx"):
            assert found.files.get(name) == expected.files.get(name), name

    fresh = lambda: shutil.rmtree(directory / "bundle", ignore_errors=True)  # noqa: E731
    stopped_often(directory, number, fresh, same_bundle, "export", "--split", "r", "-o", "bundle")


@signals
def test_report(project: Callable[..., Path], undisturbed: Path, number: signal.Signals) -> None:
    names = ("pareto.json", "corrections.json", "search.jsonl", "search-lut.db")
    directory = project(*(f"runs/r/{name}" for name in names))
    drawn = directory / "runs/r/report"
    first: list[bytes] = []

    def same_page() -> None:
        page = (drawn / "report.html").read_bytes()
        first.append(page)
        assert page == first[0]

    stopped_often(directory, number, lambda: shutil.rmtree(drawn, ignore_errors=True), same_page, "report", "r")


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
    finish(directory, "export", "--split", "r:0", "-o", "bundle")
    assert [name for name in os.listdir(directory) if name.startswith(".")] == []
