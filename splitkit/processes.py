"""Processes that end when the one that started them does, however that ends, and signals that ask a process to end."""

import _thread
import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from splitkit.errors import SplitkitError

STOP_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""What asks a process to end and lets it clean up: Ctrl-C, whoever manages it, a terminal that goes away."""

AGAIN_AFTER_S = 0.01
"""How long after a signal came where exceptions are swallowed it is sent again."""

_PR_SET_PDEATHSIG = 1

_LAUNCHER = f"""\
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl({_PR_SET_PDEATHSIG}, signal.SIGKILL)
if os.getppid() != int(sys.argv[1]):
    sys.exit(1)
os.execvp(sys.argv[2], sys.argv[2:])
"""
"""What the system promises to a process on its parent's death lasts through `exec`."""


class Stopped(KeyboardInterrupt):
    """One of `STOP_SIGNALS`, as an exception: whatever is ready for Ctrl-C is ready for it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    @property
    def exit_code(self) -> int:
        """As shells report a process that a signal ended: 130 for SIGINT, 143 for SIGTERM, 129 for SIGHUP."""
        return 128 + self.number

    def __str__(self) -> str:
        return "interrupted" if self.number == signal.SIGINT else f"stopped by {signal.Signals(self.number).name}"


class Requests:
    """Whether a signal has asked this process to stop, and which one came first."""

    def __init__(self) -> None:
        self.number: int | None = None
        self.over = False  # nobody listens any more

    @property
    def asked(self) -> bool:
        """Whether one has."""
        return self.number is not None


@contextmanager
def stop_signals(*, patient: bool = False) -> Iterator[Requests]:
    """Make `Stopped` of `STOP_SIGNALS`; `patient`, the first one is only noted, and whoever looks at it has to stop.

    Once asked, whatever exception comes is `Stopped`: foreign code makes others of those that pass through it. Only an
    error of splitkit's own that a patient one meets on its way out is that error. Signals that were ignored before
    (`nohup`) still are. One that comes in a finaliser or a callback of a weak reference, where exceptions are
    swallowed, comes again. Python delivers signals to the main thread only: in another one nothing changes.
    """
    requests = Requests()

    def note(number: int, frame: FrameType | None) -> None:
        again, requests.number = requests.asked, requests.number or number
        if again or not patient:
            raise Stopped(number)

    if threading.current_thread() is not threading.main_thread():
        yield requests
        return
    swallowed = sys.unraisablehook

    def unraisable(what: "sys.UnraisableHookArgs") -> None:
        if not _send_again(what.exc_value, requests):
            swallowed(what)

    sys.unraisablehook = unraisable
    before = {number: handler for number in STOP_SIGNALS if (handler := signal.getsignal(number)) is not signal.SIG_IGN}
    for number in before:
        signal.signal(number, note)
    try:
        yield requests
    except BaseException as error:
        if requests.number is None or isinstance(error, Stopped) or (patient and isinstance(error, SplitkitError)):
            raise
        raise Stopped(requests.number) from error
    finally:
        requests.over = True
        sys.unraisablehook = swallowed
        for number, handler in before.items():
            signal.signal(number, handler)


def _send_again(error: BaseException | None, requests: Requests) -> bool:
    """Have the signal of a swallowed `Stopped` sent again; False if it is something else."""
    if not isinstance(error, Stopped):
        return False
    number = error.number

    def send() -> None:
        time.sleep(AGAIN_AFTER_S)
        if not requests.over:
            os.kill(os.getpid(), number)

    _thread.start_new_thread(send, ())  # without the locks of `threading`, which the main thread may hold just now
    return True


def ignore_stop_signals() -> None:
    """From here on: there is nothing left to stop."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def tied(command: Sequence[str]) -> list[str]:
    """The command, to be started as a process that is killed when this one ends (on Linux).

    The system means the thread that starts it, so that elsewhere than in the main thread the command is left as it is.
    """
    if sys.platform != "linux" or threading.current_thread() is not threading.main_thread():
        return list(command)
    return [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid()), *command]


def ending(exit_code: int) -> str:
    """How a process ended, from what Python calls its return code."""
    if exit_code == -signal.SIGKILL:
        return "was killed, as systems do when memory runs out"
    if exit_code < 0:
        return f"was ended by {signal.Signals(-exit_code).name}"
    return f"ended with exit code {exit_code}"


def end_with(parent: int) -> None:
    """Have this process killed when `parent`, whose main thread started it, ends (on Linux)."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
