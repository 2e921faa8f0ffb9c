"""Worker processes: they answer, fail, hang and die without taking anybody along."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from splitkit.bench.worker import Done, Failed, Lost, Said, Worker, overdue, wait_for
from splitkit.errors import DeviceError


def obeying() -> Callable[[Any, Callable[[Any], None]], Any]:
    def obey(job: tuple[str, Any], say: Callable[[Any], None]) -> Any:
        order, argument = job
        if order == "echo":
            say("working")
            return argument
        if order == "raise":
            raise argument
        if order == "sleep":
            time.sleep(argument)
        if order == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if order == "cpus":
            return tuple(os.sched_getaffinity(0))
        return None

    return obey


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    made = Worker(obeying)
    yield made
    made.kill()


def answer(worker: Worker) -> Any:
    assert wait_for([worker]) == [worker]
    return worker.receive()


def test_an_answer_comes_after_what_was_said(worker: Worker) -> None:
    worker.send(("echo", 7))
    assert answer(worker) == Said("working")
    assert not worker.idle
    assert answer(worker) == Done(7)
    assert worker.idle


def test_mistakes_come_through_with_their_hint_and_bugs_with_where_they_were(worker: Worker) -> None:
    worker.send(("raise", DeviceError("no such board", "plug it in")))
    failed = answer(worker)
    assert isinstance(failed, Failed)
    assert failed.expected
    assert str(failed.error) == "no such board (plug it in)"
    worker.send(("raise", KeyError("x")))
    failed = answer(worker)
    assert not failed.expected
    assert "obey" in str(failed.error)


def test_one_that_hangs_is_overdue_and_starts_afresh(worker: Worker) -> None:
    worker.send(("sleep", 1000), timeout_s=0.05)
    assert wait_for([worker]) == []
    assert overdue([worker]) == [worker]
    worker.restart()
    worker.send(("echo", 8))
    assert [answer(worker), answer(worker)][1] == Done(8)


def test_one_that_is_killed_loses_its_job_and_is_replaced(worker: Worker) -> None:
    worker.send(("die", None))
    assert answer(worker) == Lost(-signal.SIGKILL)
    assert "memory" in str(Lost(-signal.SIGKILL))
    worker.send(("echo", 9))
    assert [answer(worker), answer(worker)][1] == Done(9)


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no processor affinity here")
def test_it_keeps_to_its_processors() -> None:
    cpu = min(os.sched_getaffinity(0))
    made = Worker(obeying, cpus=(cpu,))
    made.send(("cpus", None))
    assert answer(made) == Done((cpu,))
    made.kill()
    assert len(os.sched_getaffinity(0)) >= 1


PARENT = """
import os, time
from tests.bench.test_worker import obeying
from splitkit.bench.worker import Worker, wait_for
if __name__ == "__main__":
    worker = Worker(obeying)
    worker.send(("echo", 1))
    wait_for([worker])
    worker.receive(), worker.receive()
    worker.send(("sleep", 1000))
    print(worker._process.pid, flush=True)
    time.sleep(1000)
"""


def test_it_does_not_outlive_a_killed_parent(tmp_path: Any) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    environment = os.environ | {"PYTHONPATH": os.getcwd()}
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True, env=environment) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert psutil.pid_exists(child)
        parent.kill()
    deadline = time.monotonic() + 30
    while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_script_without_a_guard_may_start_one(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "print('begun')\n"
        "from splitkit.bench.worker import Worker, wait_for\n"
        "from tests.bench.test_worker import obeying\n"
        "worker = Worker(obeying)\n"
        "worker.send(('echo', 42))\n"
        "wait_for([worker])\n"
        "print(worker.receive().what, __file__ == __import__('sys').argv[0])\n"
        "worker.kill()\n"
    )
    paths = {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, str(script)], env=os.environ | paths, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.split() == ["begun", "working", "True"], done.stderr
