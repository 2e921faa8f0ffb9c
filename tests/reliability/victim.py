"""Run splitkit's commands in processes that can be killed, starved of disk, or denied their clock.

Children are forked from a server that has imported everything, so that what is hit is the work and not the imports.
"""

import contextlib
import ctypes
import multiprocessing
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event
from pathlib import Path

MODULES = (
    "click.testing", "onnx", "onnxruntime", "pymoo.optimize", "sklearn.datasets", "torch", "tvm", "splitkit.cli.main",
    "splitkit.bundle.export", "splitkit.bench.networks", "splitkit.project.steps", "splitkit.training",
)  # fmt: skip

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["tests.reliability.victim_imports"])


@dataclass(frozen=True)
class Conditions:
    """What a child must live with.

    Attributes:
        file_bytes: no file may grow beyond this (RLIMIT_FSIZE): to a program the same as a full disk.
        unprivileged: run without the superuser's right to write anywhere.
        clock_s: `time.time` falls by a second at every look, beginning here.
    """

    file_bytes: int | None = None
    unprivileged: bool = False
    clock_s: float | None = None


@dataclass
class Victim:
    """One command in a process of its own, its output in a pipe: a limit on files must not swallow its messages."""

    process: BaseProcess
    reader: threading.Thread
    chunks: list[bytes]

    @property
    def text(self) -> str:
        """Everything it printed so far."""
        return b"".join(self.chunks).decode(errors="replace")

    def wait(self, timeout_s: float = 300.0) -> int:
        """Its exit status: negative for the signal that ended it."""
        self.process.join(timeout_s)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()
            raise TimeoutError(f"still running after {timeout_s} s:\n{self.text[-2000:]}")
        self.reader.join(10)
        return self.process.exitcode

    def signal(self, number: signal.Signals) -> bool:
        """Send a signal; whether it was still alive to get one."""
        assert self.process.pid is not None
        alive = self.process.is_alive()
        if alive:
            os.kill(self.process.pid, number)
        return alive


def start(directory: Path, *arguments: str, conditions: Conditions | None = None) -> Victim:
    """Start a command in `directory`; returns when it has begun its own work."""
    output, theirs = SERVER.Pipe(duplex=False)
    ready = SERVER.Event()
    process = SERVER.Process(target=_run, args=(directory, arguments, conditions or Conditions(), theirs, ready))
    process.start()
    theirs.close()
    chunks: list[bytes] = []
    reader = threading.Thread(target=_drain, args=(output, chunks), daemon=True)
    reader.start()
    assert ready.wait(300), f"{arguments} did not start"
    return Victim(process, reader, chunks)


def _drain(output: Connection, chunks: list[bytes]) -> None:
    while data := os.read(output.fileno(), 1 << 16):
        chunks.append(data)
    output.close()


def finish(directory: Path, *arguments: str, conditions: Conditions | None = None) -> Victim:
    """Run a command to its end, which must be a good one."""
    victim = start(directory, *arguments, conditions=conditions)
    status = victim.wait()
    assert status == 0, f"{arguments} ended with {status}:\n{victim.text[-3000:]}"
    return victim


def _run(directory: Path, arguments: tuple[str, ...], conditions: Conditions, output: Connection, ready: Event) -> None:
    import torch

    from splitkit.cli.main import main

    torch.set_num_threads(1)
    _checkpoint_often()
    os.chdir(directory)
    os.dup2(output.fileno(), 1)
    os.dup2(output.fileno(), 2)
    output.close()
    sys.stdout, sys.stderr = os.fdopen(1, "w", buffering=1), os.fdopen(2, "w", buffering=1)
    import splitkit.cli.console as console

    console.stderr.file = sys.stderr
    if conditions.clock_s is not None:
        _set_clock(conditions.clock_s)
    ready.set()
    if conditions.unprivileged:
        _drop_capabilities()
    if conditions.file_bytes is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (conditions.file_bytes, conditions.file_bytes))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with contextlib.suppress(BrokenPipeError):
        main(list(arguments), prog_name="splitkit")


def _checkpoint_often() -> None:
    import splitkit.training as training

    original: Callable[..., training.TrainConfig] = training.default_train_config
    often = {"checkpoint_every_s": 0.02}
    training.default_train_config = lambda space: original(space).model_copy(update=often)  # type: ignore[assignment]


def _drop_capabilities() -> None:
    """A superuser without capabilities is bound by permissions like anybody (capset, version 3)."""
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    nothing = (ctypes.c_uint32 * 6)()
    if ctypes.CDLL(None, use_errno=True).capset(header, nothing) != 0:
        raise OSError(ctypes.get_errno(), "capset")


def _set_clock(start_s: float) -> None:
    now = [start_s]

    def earlier() -> float:
        now[0] -= 1.0
        return now[0]

    time.time = earlier
