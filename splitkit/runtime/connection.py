"""Messages over a TCP socket, polled rather than slept for where latency is measured."""

import select
import socket
from typing import Self

from splitkit.errors import LinkError
from splitkit.runtime.clock import OWN_PROCESSOR, Patience, now_ns
from splitkit.runtime.wire import HEADER_BYTES, Message, decode, encode, rank_of


class Connection:
    """One peer. `name` is how it is called in errors: `view 1`, `the aggregator`."""

    def __init__(
        self, peer: socket.socket, name: str, timeout_s: float = 30.0, patience: Patience = OWN_PROCESSOR
    ) -> None:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer.setblocking(True)
        self.socket = peer
        self.name = name
        self.timeout_s = timeout_s
        self._poll_ns = patience.poll_ns

    @classmethod
    def to(cls, host: str, port: int, name: str, timeout_s: float = 30.0, patience: Patience = OWN_PROCESSOR) -> Self:
        """Connect.

        Raises:
            LinkError: nobody listens there.
        """
        try:
            return cls(socket.create_connection((host, port), timeout=timeout_s), name, timeout_s, patience)
        except OSError as error:
            raise LinkError(
                f"{host}:{port}: cannot connect to {name}: {error.strerror or error}", "start the aggregator first"
            ) from error

    def send(self, message: Message) -> None:
        """Send at once, unshaped.

        Raises:
            LinkError: the peer is gone.
        """
        header, payload = encode(message)
        try:
            self.socket.sendall(header)
            if len(payload):
                self.socket.sendall(payload)
        except OSError as error:
            raise LinkError(f"{self.name} is gone: {error.strerror or error}") from error

    def receive(self) -> Message:
        """The next message.

        Raises:
            LinkError: the peer closed the connection, also in the middle of a message; it stayed silent for longer
                than the timeout; or what it sent is damaged.
        """
        try:
            head = self._read(HEADER_BYTES, "a header")
            rank = rank_of(bytes(head))
            if rank:
                head += self._read(4 * rank, "a header")
            header = decode(bytes(head))
            what = f"frame {header.message.frame}"
            return header.with_payload(self._read(header.payload_bytes, what) if header.payload_bytes else b"")
        except LinkError as error:
            raise LinkError(f"{self.name}: {error}") from error

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()

    def _read(self, size: int, what: str) -> bytearray:
        """Exactly `size` bytes."""
        buffer = bytearray(size)
        view, got = memoryview(buffer), 0
        started_ns = now_ns()
        while got < size:
            try:
                n = self.socket.recv_into(view[got:], 0, socket.MSG_DONTWAIT)
            except BlockingIOError:
                self._wait(started_ns, got, size, what)
                continue
            except OSError as error:
                raise LinkError(f"gone: {error.strerror or error}") from error
            if n == 0:
                middle = f"in the middle of {what}, after {got} of {size} bytes"
                raise LinkError(f"closed the connection{'' if what == 'a header' and not got else f' {middle}'}")
            got += n
        return buffer

    def _wait(self, started_ns: int, got: int, size: int, what: str) -> None:
        waited_ns = now_ns() - started_ns
        if waited_ns > self.timeout_s * 1e9:
            raise LinkError(f"silent for {self.timeout_s:g} s while {what} was due ({got} of {size} bytes)")
        if waited_ns > self._poll_ns:
            select.select([self.socket], [], [], min(1.0, self.timeout_s))
