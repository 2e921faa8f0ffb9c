"""No room on the disk, no right to write, a clock that runs backwards, an impatient user, two at once."""

import random
import signal
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.reliability.projects import check_no_partial_files, check_table, write_project
from tests.reliability.victim import Conditions, Victim, finish, start

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

COMMANDS = {
    "train": ("train", "--resume"),
    "bench": ("bench", "--target", "sensor"),
    "search": ("search",),
    "export": ("export", "--split", "r", "-o", "bundle"),
    "report": ("report", "r"),
}
SYSTEMS = {"bench": "demo"}
"""Analytical systems have nothing to measure."""

NEEDED = {
    "train": (),
    "bench": (),
    "search": ("runs/r/supernet.pt",),
    "export": ("runs/r/supernet.pt", "runs/r/pareto.json"),
    "report": ("runs/r/pareto.json", "runs/r/corrections.json", "runs/r/search.jsonl", "runs/r/search-lut.db"),
}


def one_line(victim: Victim, status: int = 1) -> str:
    """The error that a command ended with: one line, no traceback."""
    assert victim.wait() == status, victim.text[-3000:]
    assert "Traceback" not in victim.text, victim.text[-3000:]
    errors = [line for line in victim.text.splitlines() if line.startswith("splitkit: ")]
    assert len(errors) == 1, victim.text[-3000:]
    return errors[0]


@pytest.mark.parametrize("limit", [0, 3_000, 30_000, 100_000])
@pytest.mark.parametrize("command", COMMANDS)
def test_no_room_on_the_disk(project: Callable[..., Path], command: str, limit: int) -> None:
    directory = project(*NEEDED[command], system=SYSTEMS.get(command, "hmd"))
    victim = start(directory, *COMMANDS[command], conditions=Conditions(file_bytes=limit))
    if victim.wait() != 0:
        one_line(victim, victim.wait())
    else:
        assert limit > 3_000, "nothing can be written, and yet it says that all is well"
    check_no_partial_files(directory)
    finish(directory, *COMMANDS[command])


@pytest.fixture
def shared_folder() -> Iterator[Path]:
    """A folder that other users may enter; pytest's own are private."""
    with tempfile.TemporaryDirectory(prefix="splitkit-tests-") as made:
        Path(made).chmod(0o755)
        yield Path(made)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_directory_that_cannot_be_written_to(shared_folder: Path, undisturbed: Path, command: str) -> None:
    directory = write_project(shared_folder / "p", SYSTEMS.get(command, "hmd"))
    for name in NEEDED[command]:
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes((undisturbed / name).read_bytes())
    before = sorted(directory.rglob("*"))
    for path in (directory, *before):
        path.chmod(0o555 if path.is_dir() else 0o444)
    message = one_line(
        (victim := start(directory, *COMMANDS[command], conditions=Conditions(unprivileged=True))), victim.wait()
    )
    assert "ermission denied" in message or "unable to open" in message or "readonly" in message
    assert sorted(directory.rglob("*")) == before


def test_a_clock_that_runs_backwards(tmp_path: Path) -> None:
    directory = write_project(tmp_path / "p", "demo")
    finish(directory, "bench", "--target", "sensor", "--budget", "2s")
    finish(directory, "bench", "--target", "sensor", conditions=Conditions(clock_s=1e9))
    check_table(directory / "runs" / "lut.db")
    with closing(sqlite3.connect(directory / "runs" / "lut.db")) as db:
        (anchors,) = db.execute("SELECT COUNT(DISTINCT kernel) FROM anchors").fetchone()
    assert anchors == 1, "the anchor is the one kernel that every session is compared by"
    finish(directory, "train", conditions=Conditions(clock_s=1e9))
    finish(directory, "search", conditions=Conditions(clock_s=5e8))
    finish(directory, "export", "--split", "r", "-o", "bundle", conditions=Conditions(clock_s=1e8))
    check_no_partial_files(directory)


@pytest.mark.parametrize("command", COMMANDS)
def test_an_impatient_user(project: Callable[..., Path], command: str) -> None:
    """Ctrl-C, and again at once: one line, nothing half written, and the same command goes on."""
    directory = project(*NEEDED[command], system=SYSTEMS.get(command, "hmd"))
    rng = random.Random(3)
    interrupted = 0
    for pause_s in (0.0, 0.02, 0.2, 0.0, 0.05):
        victim = start(directory, *COMMANDS[command])
        time.sleep(rng.uniform(0, 1.5))
        victim.signal(signal.SIGINT)
        time.sleep(pause_s)
        victim.signal(signal.SIGINT)
        if victim.wait() != 0:
            assert "interrupted" in one_line(victim, 128 + signal.SIGINT)
            interrupted += 1
        check_no_partial_files(directory)
    assert interrupted or command == "report"
    finish(directory, *COMMANDS[command])


def test_two_processes_build_one_table(tmp_path: Path) -> None:
    directory = write_project(tmp_path / "p", "demo")
    victims = [start(directory, "bench", "--target", side) for side in ("sensor", "aggregator")]
    assert [victim.wait() for victim in victims] == [0, 0], "\n".join(victim.text[-2000:] for victim in victims)
    kernels, graphs = check_table(directory / "runs" / "lut.db", builders=2)
    assert kernels > 10
    assert graphs >= 2
