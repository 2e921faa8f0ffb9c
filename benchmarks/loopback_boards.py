"""Boards on this machine: TVM's tracker and servers on the loopback interface, to be hung, killed or made to lie."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from splitkit.devices.rpc import tracker
from splitkit.profiles.schema import DeviceProfile

STARTING_S = 120.0
KEY = "board"


class Process:
    """A server in a process group of its own, known by the port it bound to."""

    def __init__(self, arguments: list[str], log: Path) -> None:
        self.log = log
        environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, *arguments],
            stdout=log.open("w"), stderr=subprocess.STDOUT, start_new_session=True, env=environment,
        )  # fmt: skip

    @property
    def port(self) -> int:
        """Waits until it is bound."""
        for _ in range(int(STARTING_S * 10)):
            if found := re.search(r"bind to 127\.0\.0\.1:(\d+)", self.log.read_text()):
                return int(found[1])
            assert self._process.poll() is None, self.log.read_text()
            time.sleep(0.1)
        raise AssertionError(self.log.read_text())

    @property
    def name(self) -> str:
        """As reports call it."""
        return f"127.0.0.1:{self.port}"

    def signal(self, number: int) -> None:
        """Send a signal to the server and everything it started."""
        with suppress(psutil.NoSuchProcess):
            parent = psutil.Process(self._process.pid)
            for process in (*parent.children(recursive=True), parent):
                with suppress(psutil.NoSuchProcess):
                    process.send_signal(number)

    def hang(self) -> None:
        """Stop it where it is: connections stay open, nothing answers."""
        self.signal(signal.SIGSTOP)

    def kill(self) -> None:
        """As pulling the plug."""
        self.signal(signal.SIGKILL)
        self._process.wait()


class Farm:
    """A tracker and its boards."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._tracker = Process(
            ["-m", "tvm.exec.rpc_tracker", "--host", "127.0.0.1", "--port", "9700", "--port-end", "9799"],
            scratch / "tracker.log",
        )
        self.boards: list[Process] = []

    @property
    def address(self) -> tuple[str, int]:
        """The tracker's."""
        return "127.0.0.1", self._tracker.port

    def add(self, *, lying: bool = False) -> Process:
        """Start one more board."""
        arguments = [
            "-m", "tvm.exec.rpc_server", "--host", "127.0.0.1", "--port", "9600", "--port-end", "9699",
            "--tracker", f"127.0.0.1:{self.address[1]}", "--key", KEY,
        ]  # fmt: skip
        if lying:
            arguments = ["-m", "tests.devices.liar", str(self.address[1]), KEY]
        self.boards.append(Process(arguments, self._scratch / f"board{len(self.boards)}.log"))
        return self.boards[-1]

    def wait(self) -> None:
        """Until every board has registered."""
        for _ in range(int(STARTING_S * 5)):
            if len(tracker.boards(self.address, KEY, 10.0)) == len(self.boards):
                return
            time.sleep(0.2)
        raise AssertionError("boards did not register")

    def profile(self, *, timeout_s: float = 10.0, agreement: float = 1.0) -> DeviceProfile:
        """All of them, as one device."""
        host, port = self.address
        options = {"tracker": f"{host}:{port}", "key": KEY, "timeout_s": timeout_s, "agreement": agreement}
        return DeviceProfile(name="farm", kind="rpc", options=options)

    def stop(self) -> None:
        """End everything."""
        for process in (*self.boards, self._tracker):
            process.kill()


@contextmanager
def farm(scratch: Path, boards: int) -> Iterator[Farm]:
    """A farm of honest boards, registered."""
    made = Farm(scratch)
    try:
        for _ in range(boards):
            made.add()
        made.wait()
        yield made
    finally:
        made.stop()
