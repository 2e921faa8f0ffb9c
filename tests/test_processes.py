"""Children that end with their parent, and signals that ask a process to end."""

import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path

import psutil
import pytest

from splitkit.processes import STOP_SIGNALS, Stopped, stop_signals, tied

PARENT = """
import subprocess, time
from splitkit.processes import tied
child = subprocess.Popen(tied(["sleep", "1000"]))
print(child.pid, flush=True)
time.sleep(1000)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the system has no such promise")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_tied_process_does_not_outlive_the_one_that_started_it(number: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.send_signal(number)
    deadline = time.monotonic() + 3
    while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_tied_command_does_what_the_command_does() -> None:
    done = subprocess.run(
        tied(["sh", "-c", "cat; exit 7"]), input="through", capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr, done.returncode) == ("through", "", 7)


def test_a_thread_that_ends_takes_no_process_with_it() -> None:
    found: list[list[str]] = []
    thread = threading.Thread(target=lambda: found.append(tied(["sleep", "1"])))
    thread.start()
    thread.join()
    assert found == [["sleep", "1"]]


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_a_stop_signal_becomes_an_exception_like_ctrl_c(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt) as caught, stop_signals():
        os.kill(os.getpid(), number)
    assert isinstance(caught.value, Stopped)
    assert caught.value.exit_code == 128 + number
    assert signal.getsignal(number) is before


def foreign_code_stopped() -> None:
    with stop_signals():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except KeyboardInterrupt as error:
            raise RuntimeError("a callback failed") from error


def test_what_foreign_code_makes_of_it_is_a_stop_all_the_same() -> None:
    with pytest.raises(Stopped):
        foreign_code_stopped()


def test_the_patient_are_asked_once_and_made_to_stop_the_second_time() -> None:
    with stop_signals(patient=True) as requests:
        assert not requests.asked
        os.kill(os.getpid(), signal.SIGHUP)
        assert requests.asked
        with pytest.raises(Stopped):
            os.kill(os.getpid(), signal.SIGTERM)


def test_a_signal_that_nohup_ignores_stays_ignored(tmp_path: Path) -> None:
    program = "import os, signal\nfrom splitkit.processes import stop_signals\n"
    program += "with stop_signals(): os.kill(os.getpid(), signal.SIGHUP); print('still here')"
    done = subprocess.run(
        ["nohup", sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert "still here" in done.stdout


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_a_signal_that_comes_while_exceptions_are_swallowed_comes_again(
    number: signal.Signals, capfd: pytest.CaptureFixture[str]
) -> None:
    def gone(_: object) -> None:
        os.kill(os.getpid(), number)
        time.sleep(0)  # where the signal is seen: what it raises here is ignored

    def work() -> None:
        thing = threading.Event()
        reference = weakref.ref(thing, gone)
        del thing
        assert reference() is None
        time.sleep(30)

    with pytest.raises(Stopped) as stopped, stop_signals():
        work()
    assert stopped.value.number == number
    assert capfd.readouterr().err == ""
