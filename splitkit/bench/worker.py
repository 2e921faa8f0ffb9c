"""A process of its own for work that may hang, crash, or must keep off the measuring processor.

One job at a time goes in through a pipe, messages come out; whoever waits for them has a deadline, after which the
process is killed. Started by spawning, so no lock or thread of the parent is inherited.
"""

import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from multiprocessing import connection, get_context, parent_process
from typing import Any

from splitkit.devices.pinning import pinned
from splitkit.errors import SplitkitError
from splitkit.processes import end_with, ending

Say = Callable[[Any], None]
Target = Callable[[Any, Say], Any]
"""What a worker does with a job: may say things meanwhile, and returns the answer."""

_SPAWN = get_context("spawn")


@dataclass(frozen=True)
class Said:
    """Something said on the way to an answer."""

    what: Any


@dataclass(frozen=True)
class Done:
    """A job's answer."""

    answer: Any


@dataclass(frozen=True)
class Failed:
    """Why there is no answer. `expected` says whether it is a mistake or failure that splitkit knows how to explain."""

    error: Exception
    expected: bool


@dataclass(frozen=True)
class Lost:
    """The process ended without an answer: it crashed, or the system killed it because memory ran out."""

    exit_code: int

    def __str__(self) -> str:
        return f"its process {ending(self.exit_code)}"


Message = Said | Done | Failed | Lost


class Worker:
    """A process that runs `make(*arguments)` on every job it is sent.

    Args:
        make: a picklable callable that makes the target, in the process.
        cpus: the only processors it may use; None for all that this thread may.
    """

    def __init__(
        self,
        make: Callable[..., Target],
        arguments: Sequence[Any] = (),
        *,
        cpus: tuple[int, ...] | None = None,
    ) -> None:
        self._make, self._arguments, self._cpus = make, tuple(arguments), cpus
        self.job: Any = None
        self.deadline = float("inf")
        self._start()

    def _start(self) -> None:
        ours, theirs = _SPAWN.Pipe()
        # What the system does on a parent's death is about the thread that started a process.
        parent = os.getpid() if threading.current_thread() is threading.main_thread() else None
        with _unless_none(self._cpus), _interrupts_ignored(), _main_hidden():
            process = _SPAWN.Process(
                target=_serve, args=(theirs, self._make, self._arguments, parent), daemon=True
            )  # fmt: skip
            process.start()
        theirs.close()
        self._process, self.connection = process, ours

    @property
    def idle(self) -> bool:
        """Whether it has nothing to do."""
        return self.job is None

    def send(self, job: Any, timeout_s: float = float("inf")) -> None:
        """Give it a job that must be answered in time."""
        assert self.idle, "one job at a time"
        self.job, self.deadline = job, time.monotonic() + timeout_s
        with suppress(BrokenPipeError, ConnectionResetError):  # it died; `receive` says so
            self.connection.send(job)

    def receive(self) -> Message:
        """The next message; call when its connection is ready. A process that died is replaced."""
        try:
            message: Message = self.connection.recv()
        except (EOFError, ConnectionResetError):
            self._process.join()
            assert self._process.exitcode is not None
            message = Lost(self._process.exitcode)
            self.restart()
        if not isinstance(message, Said):
            self.job = None
            self.deadline = float("inf")
        return message

    def restart(self) -> None:
        """Kill it, whatever it is doing, and start afresh."""
        self.kill()
        self.job, self.deadline = None, float("inf")
        self._start()

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.join()
        self.connection.close()


def wait_for(workers: Sequence[Worker], until: float = float("inf")) -> list[Worker]:
    """Workers that have something to say, as soon as one has; none if a deadline (or `until`) passes first."""
    busy = {worker.connection: worker for worker in workers if not worker.idle}
    deadline = min([until, *(worker.deadline for worker in busy.values())])
    timeout = None if deadline == float("inf") else max(deadline - time.monotonic(), 0.0)
    ready = connection.wait(list(busy), timeout)
    return [worker for pipe, worker in busy.items() if pipe in ready]


def overdue(workers: Sequence[Worker]) -> list[Worker]:
    """Workers whose job should have been answered by now."""
    now = time.monotonic()
    return [worker for worker in workers if not worker.idle and now >= worker.deadline]


def _serve(pipe: Any, make: Callable[..., Target], arguments: tuple[Any, ...], parent: int | None) -> None:
    """The process's main function: ends when the parent does, leaves Ctrl-C to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if parent is not None:
        end_with(parent)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    target: Target | None = None

    def say(what: Any) -> None:
        pipe.send(Said(what))

    while True:
        try:
            job = pipe.recv()
        except EOFError:
            return
        try:
            target = target or make(*arguments)
            message: Message = Done(target(job, say))
        except SplitkitError as error:
            message = Failed(error, True)
        except Exception as error:
            message = Failed(RuntimeError(f"{error!r}\n{traceback.format_exc()}"), False)
        pipe.send(message)


def _die_with_parent() -> None:
    """A job that hangs in foreign code would outlive a killed parent."""
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _unless_none(cpus: tuple[int, ...] | None) -> Any:
    """Confine this thread, and so what it starts, to `cpus`."""
    return nullcontext() if cpus is None else pinned(cpus)


@contextmanager
def _main_hidden() -> Iterator[None]:
    """A child that is spawned imports the script that its parent runs, and so runs it where it has no guard against
    that. Nothing in it is needed."""
    main = sys.modules["__main__"]
    hidden = {name: main.__dict__.pop(name, None) for name in ("__spec__", "__file__")}
    main.__spec__ = None
    try:
        yield
    finally:
        main.__dict__.update({name: value for name, value in hidden.items() if name == "__spec__" or value is not None})


class _interrupts_ignored:  # noqa: N801
    """A child takes over what signals do from its parent, and must not see Ctrl-C before it can refuse it."""

    def __enter__(self) -> None:
        self._main = threading.current_thread() is threading.main_thread()
        if self._main:
            self._before = signal.signal(signal.SIGINT, signal.SIG_IGN)

    def __exit__(self, *_: object) -> None:
        if self._main:
            signal.signal(signal.SIGINT, self._before)
