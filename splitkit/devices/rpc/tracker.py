"""TVM's RPC tracker, asked for boards. TVM's own client would not say which board it got, and waits without limit.

A question is answered within the time it is given in all, however the bytes arrive, by an answer of the form and size
that trackers give; anything else is an error in one line.
"""

import json
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pydantic import BaseModel, TypeAdapter, ValidationError

from splitkit.addresses import format_address
from splitkit.errors import DeviceError, reason

MOST_BYTES = 1 << 20
"""Of an answer: a tracker that knows ten thousand boards says less."""

_NUMBER = struct.Struct("<i")

Ask = Callable[[list[object]], bytes]


@dataclass(frozen=True)
class Address:
    """One board's server, and the key it expects from whom it serves next."""

    host: str
    port: int
    key: str = ""

    @property
    def name(self) -> str:
        """What a board is called in reports."""
        return format_address(self.host, self.port)


class _Server(BaseModel):
    key: str
    addr: tuple[str, int]


class _Summary(BaseModel):
    server_info: list[_Server]


_SUMMARY_ANSWER = TypeAdapter(tuple[int, _Summary])
_REQUEST_ANSWER = TypeAdapter(tuple[int, tuple[str, int, str]])


def boards(tracker: tuple[str, int], key: str, timeout_s: float) -> list[str]:
    """Names of the boards that registered under `key`, whether free or busy.

    Raises:
        DeviceError: the tracker does not answer in time, or is none.
    """
    from tvm.rpc.base import TrackerCode

    with _connection(tracker, timeout_s) as ask:
        _, summary = _SUMMARY_ANSWER.validate_json(ask([TrackerCode.SUMMARY]))
    return sorted({Address(*server.addr).name for server in summary.server_info if server.key == f"server:{key}"})


def request(tracker: tuple[str, int], key: str, timeout_s: float) -> Address:
    """Wait for a free board; whoever asked first gets it first.

    Raises:
        DeviceError: none became free in time, or the tracker does not answer.
    """
    from tvm.rpc.base import TrackerCode

    with _connection(tracker, timeout_s) as ask:
        _, (host, port, matchkey) = _REQUEST_ANSWER.validate_json(ask([TrackerCode.REQUEST, key, "", 1]))
    return Address(host, port, matchkey)


@contextmanager
def _connection(tracker: tuple[str, int], timeout_s: float) -> Iterator[Ask]:
    """A function that sends the tracker a question and returns its answer, JSON."""
    from tvm.rpc.base import RPC_TRACKER_MAGIC

    where = f"tracker {format_address(*tracker)}"
    until = time.monotonic() + timeout_s
    stranger = DeviceError(f"{where}: something else listens there", "python -m tvm.exec.rpc_tracker starts one")
    try:
        with socket.create_connection(tracker, timeout=timeout_s) as connection:
            connection.sendall(_NUMBER.pack(RPC_TRACKER_MAGIC))
            if _NUMBER.unpack(_read(connection, _NUMBER.size, until))[0] != RPC_TRACKER_MAGIC:
                raise stranger

            def ask(question: list[object]) -> bytes:
                text = json.dumps(question).encode()
                connection.sendall(_NUMBER.pack(len(text)) + text)
                (size,) = _NUMBER.unpack(_read(connection, _NUMBER.size, until))
                if not 0 <= size <= MOST_BYTES:
                    raise stranger
                return _read(connection, size, until)

            yield ask
    except TimeoutError as error:
        raise DeviceError(f"{where}: no answer within {timeout_s:g} s", "are its boards running?") from error
    except ValidationError as error:
        raise stranger from error
    except (OSError, UnicodeError) as error:
        hint = "python -m tvm.exec.rpc_tracker --host 127.0.0.1 starts one"
        raise DeviceError(f"{where}: cannot be reached: {reason(error)}", hint) from error


def _read(connection: socket.socket, size: int, until: float) -> bytes:
    """Exactly `size` bytes.

    Raises:
        TimeoutError: they have not all come by `until`, on the monotonic clock.
    """
    data = b""
    while len(data) < size:
        left_s = until - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        connection.settimeout(left_s)
        part = connection.recv(min(size - len(data), 1 << 16))
        if not part:
            raise ConnectionResetError("it closed the connection in the middle of an answer")
        data += part
    return data
