"""TVM's RPC tracker, asked for boards. TVM's own client would not say which board it got, and waits without limit."""

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from splitkit.errors import DeviceError, reason


@dataclass(frozen=True)
class Address:
    """One board's server, and the key it expects from whom it serves next."""

    host: str
    port: int
    key: str = ""

    @property
    def name(self) -> str:
        """What a board is called in reports."""
        return f"{self.host}:{self.port}"


def boards(tracker: tuple[str, int], key: str, timeout_s: float) -> list[str]:
    """Names of the boards that registered under `key`, whether free or busy.

    Raises:
        DeviceError: the tracker does not answer in time, or is none.
    """
    from tvm.rpc.base import TrackerCode

    with _connection(tracker, timeout_s) as ask:
        _, summary = ask([TrackerCode.SUMMARY])
    servers = [server for server in summary["server_info"] if server["key"] == f"server:{key}"]
    return sorted({Address(*server["addr"]).name for server in servers})


def request(tracker: tuple[str, int], key: str, timeout_s: float) -> Address:
    """Wait for a free board; whoever asked first gets it first.

    Raises:
        DeviceError: none became free in time, or the tracker does not answer.
    """
    from tvm.rpc.base import TrackerCode

    with _connection(tracker, timeout_s) as ask:
        _, (host, port, matchkey) = ask([TrackerCode.REQUEST, key, "", 1])
    return Address(host, port, matchkey)


@contextmanager
def _connection(tracker: tuple[str, int], timeout_s: float) -> Iterator[Any]:
    """A function that sends the tracker a question and returns its answer."""
    from tvm.rpc.base import RPC_TRACKER_MAGIC, recvall, recvjson, sendjson

    where = f"tracker {tracker[0]}:{tracker[1]}"
    try:
        with socket.create_connection(tracker, timeout=timeout_s) as connection:
            connection.sendall(struct.pack("<i", RPC_TRACKER_MAGIC))
            if struct.unpack("<i", recvall(connection, 4))[0] != RPC_TRACKER_MAGIC:
                raise DeviceError(f"{where}: something else listens there", "python -m tvm.exec.rpc_tracker starts one")

            def ask(question: list[object]) -> Any:
                sendjson(connection, question)
                return recvjson(connection)

            yield ask
    except TimeoutError as error:
        raise DeviceError(f"{where}: no answer within {timeout_s:g} s", "are its boards running?") from error
    except (OSError, ValueError) as error:
        hint = "python -m tvm.exec.rpc_tracker --host 127.0.0.1 starts one"
        raise DeviceError(f"{where}: cannot be reached: {reason(error)}", hint) from error
