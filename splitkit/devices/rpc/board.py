"""A connection to one board, every step of which has a time limit."""

import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from splitkit.devices.rpc.tracker import Address
from splitkit.errors import DeviceError

T = TypeVar("T")

GRACE = 1.5
"""The board itself ends a session after this many times its lease, so that a kernel that hangs does not block it."""


class Board:
    """A session on a board's server. Close it, or nobody else gets the board.

    Calls into TVM's client cannot be interrupted, so they run in a thread of this connection; where one does not return
    in time the board is given up and the thread with it.

    Raises:
        DeviceError: the board cannot be reached, or does not answer in time.
    """

    def __init__(self, address: Address, timeout_s: float, lease_s: float) -> None:
        self.name, self.timeout_s = address.name, timeout_s
        self._calls: queue.SimpleQueue[tuple[Callable[[], Any], queue.SimpleQueue[Any]] | None] = queue.SimpleQueue()
        self._gone = False
        threading.Thread(target=_run_calls, args=(self._calls,), daemon=True).start()

        def connect() -> Any:
            from tvm import rpc

            return rpc.connect(address.host, address.port, address.key, session_timeout=GRACE * lease_s)

        self.remote = self.call("connecting", connect)

    def call(self, what: str, function: Callable[[], T], extra_s: float = 0.0) -> T:
        """`function()`, which talks to the board and may take `timeout_s` (and `extra_s`).

        Raises:
            DeviceError: it did not answer in time, went away, or failed.
        """
        if self._gone:
            raise DeviceError(f"board {self.name}: is gone", "start its server again")
        answer: queue.SimpleQueue[tuple[T | None, Exception | None]] = queue.SimpleQueue()
        self._calls.put((function, answer))
        try:
            result, error = answer.get(timeout=self.timeout_s + extra_s)
        except queue.Empty:
            self._gone = True
            message = f"board {self.name}: {what}: no answer within {self.timeout_s + extra_s:g} s"
            raise DeviceError(message, "is it alive? `timeout_s` in its options says how long to wait") from None
        if error is not None:
            self._gone = True
            lines = str(error).strip().splitlines() or [repr(error)]
            raise DeviceError(f"board {self.name}: {what}: {lines[-1]}", "is its server still running?") from error
        return result  # type: ignore[return-value]

    def close(self) -> None:
        """Let the board go; its server then waits for the next client."""
        if not self._gone:
            self._gone = True
            self.remote = None
        self._calls.put(None)


def _run_calls(calls: "queue.SimpleQueue[tuple[Callable[[], Any], queue.SimpleQueue[Any]] | None]") -> None:
    while (call := calls.get()) is not None:
        function, answer = call
        try:
            answer.put((function(), None))
        except Exception as error:
            answer.put((None, error))
        del function, answer, call  # the last reference to a remote object closes the connection
