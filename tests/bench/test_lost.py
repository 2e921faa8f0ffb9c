"""Jobs whose process the system killed, as it does when memory runs out: counted, and not the end of building."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from splitkit.bench.networks import build_from_space
from splitkit.errors import DeviceError
from splitkit.latency.store import LutStore
from splitkit.space import SearchSpace, load_space
from tests.latency.systems import host_system
from tests.reliability.projects import MEASURED_SPACE


@pytest.fixture
def space(tmp_path: Path) -> SearchSpace:
    (tmp_path / "small.toml").write_text(MEASURED_SPACE)
    return load_space(tmp_path / "small.toml")


@contextmanager
def killing_workers(most: float) -> Iterator[list[int]]:
    """Kill worker processes of this one as soon as they have taken some memory, up to `most` of them."""
    killed: list[int] = []
    over = threading.Event()

    def kill() -> None:
        while not over.wait(0.02):
            for child in psutil.Process().children():
                try:
                    worker = "spawn_main" in " ".join(child.cmdline()) and child.memory_info().rss > 100e6
                except psutil.Error:
                    continue
                if worker and child.pid not in killed and len(killed) < most:
                    os.kill(child.pid, signal.SIGKILL)
                    killed.append(child.pid)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()


def test_a_lost_job_is_counted_and_others_go_on(tmp_path: Path, space: SearchSpace) -> None:
    with LutStore(tmp_path / "lut.db") as store, killing_workers(2) as killed:
        report = build_from_space(store, space, host_system(), "aggregator", networks=1)
    assert len(killed) == 2
    assert 1 <= report.lost <= 2
    assert report.networks == 1
    assert report.measured > 5


def test_where_every_job_is_lost_one_line_says_so(tmp_path: Path, space: SearchSpace) -> None:
    with (
        LutStore(tmp_path / "lut.db") as store,
        killing_workers(float("inf")),
        pytest.raises(DeviceError, match="jobs were lost, and none done: its process was killed"),
    ):
        build_from_space(store, space, host_system(), "aggregator", networks=1)
