"""Messages over a TCP socket, in the clear or in TLS, polled rather than slept for where latency is measured."""

import os
import select
import socket
import ssl
from typing import Self

from splitkit.addresses import format_address
from splitkit.errors import LinkError
from splitkit.runtime.allowance import Allowance
from splitkit.runtime.clock import OWN_PROCESSOR, Patience, now_ns
from splitkit.runtime.wire import HEADER_BYTES, Message, TensorType, decode, encode, rank_of

PROGRESS_BYTES = 4096
"""A peer that lets so many bytes through, or the rest of what is due, is not silent; one that dribbles is."""

NOT_YET = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
"""What a socket that does not block says where it would."""


class Connection:
    """One peer. Whoever waits for it waits no longer than it may be silent.

    Attributes:
        name: how it is called in errors: `view 1`, `the aggregator`.
        silence_s: how long it may let no byte through.
        carries: the only tensor it may send; None: it may send none. Checked before anything is allocated for it.
    """

    def __init__(
        self, peer: socket.socket, name: str, silence_s: float = 30.0, patience: Patience = OWN_PROCESSOR
    ) -> None:
        if peer.family != socket.AF_UNIX:
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer.setblocking(False)
        self.socket = peer
        self.name = name
        self.silence_s = silence_s
        self.carries: TensorType | None = None
        self._poll_ns = patience.poll_ns

    @classmethod
    def to(
        cls,
        host: str,
        port: int,
        name: str,
        allowance: Allowance,
        patience: Patience = OWN_PROCESSOR,
        tls: ssl.SSLContext | None = None,
    ) -> Self:
        """Connect, and prove to each other who one is where `tls` is given.

        Raises:
            LinkError: nobody listens there, or it is not who it should be.
        """
        where = format_address(host, port)
        try:
            peer = socket.create_connection((host, port), timeout=allowance.greeting_s)
        except (OSError, UnicodeError) as error:
            raise LinkError(
                f"{where}: cannot connect to {name}: {reason(error)}", "start the aggregator first"
            ) from error
        if tls is not None:
            try:
                peer = tls.wrap_socket(peer)
            except OSError as error:
                peer.close()
                raise LinkError(f"{where}: no TLS connection with {name}: {reason(error)}") from error
        return cls(peer, name, allowance.silence_s, patience)

    def send(self, message: Message) -> None:
        """Send at once, unshaped.

        Raises:
            LinkError: the peer is gone, or takes nothing for longer than it may be silent.
        """
        header, payload = encode(message)
        self.sendall(header)
        if len(payload):
            self.sendall(payload)

    def sendall(self, data: bytes | memoryview) -> None:
        """Send bytes, in one system call if the socket takes them; as `send`."""
        view, sent = memoryview(data), 0
        since_ns, mark = now_ns(), PROGRESS_BYTES
        while sent < len(view):
            try:
                sent += self.socket.send(view[sent:])
            except NOT_YET as error:
                if not self._wait(since_ns, select.POLLOUT, error):
                    raise LinkError(
                        f"{self.name}: took nothing for {self.silence_s:.3g} s ({sent} of {len(view)} bytes)"
                    ) from None
                continue
            except OSError as error:
                raise LinkError(f"{self.name} is gone: {reason(error)}") from error
            if sent >= mark:
                since_ns, mark = now_ns(), sent + PROGRESS_BYTES

    def receive(self) -> Message:
        """The next message.

        Raises:
            LinkError: the peer closed the connection, also in the middle of a message; it was silent for longer than
                it may be; what it sent is damaged, or a tensor that it may not send.
        """
        try:
            head = self._read(HEADER_BYTES, "a header")
            rank = rank_of(head)
            if rank:
                head += self._read(4 * rank, "a shape")
            header = decode(bytes(head))
            if header.tensor is None:
                return header.message
            if header.tensor != self.carries:
                expected = "no tensor" if self.carries is None else str(self.carries)
                raise LinkError(f"sent {header.tensor}, the bundle's link carries {expected}")
            return header.with_payload(self._read(header.payload_bytes, f"frame {header.message.frame}"))
        except LinkError as error:
            raise LinkError(f"{self.name}: {error}") from error

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()

    def _read(self, size: int, what: str) -> bytearray:
        """Exactly `size` bytes."""
        buffer = bytearray(size)
        view, got = memoryview(buffer), 0
        since_ns, mark = now_ns(), PROGRESS_BYTES
        while got < size:
            try:
                n = self.socket.recv_into(view[got:])
            except NOT_YET as error:
                if not self._wait(since_ns, select.POLLIN, error):
                    raise LinkError(
                        f"silent for {self.silence_s:.3g} s while {what} was due ({got} of {size} bytes)"
                    ) from None
                continue
            except OSError as error:
                raise LinkError(f"gone: {reason(error)}") from error
            if n == 0:
                middle = f"in the middle of {what}, after {got} of {size} bytes"
                raise LinkError(f"closed the connection{'' if what == 'a header' and not got else f' {middle}'}")
            got += n
            if got >= mark:
                since_ns, mark = now_ns(), got + PROGRESS_BYTES
        return buffer

    def _wait(self, since_ns: int, events: int, error: OSError) -> bool:
        """Wait a little; False if the peer has been silent since `since_ns` for longer than it may be."""
        left_ns = self.silence_s * 1e9 - (now_ns() - since_ns)
        if left_ns <= 0:
            return False
        if now_ns() - since_ns > self._poll_ns:
            poll = select.poll()
            poll.register(self.socket, wanted(error, events))
            poll.poll(min(1e3, left_ns / 1e6 + 1))
        return True


def wanted(error: OSError, events: int) -> int:
    """What to wait for before trying again: TLS may have to send in order to receive."""
    if isinstance(error, ssl.SSLWantReadError):
        return select.POLLIN
    return select.POLLOUT if isinstance(error, ssl.SSLWantWriteError) else events


def reason(error: Exception) -> str:
    """Why a socket failed, in words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not valid: {error.verify_message}"
    if isinstance(error, ssl.SSLEOFError):
        return "it ended the TLS connection, as one does that does not accept a certificate"
    if isinstance(error, ssl.SSLError):
        return (error.reason or str(error)).lower().replace("_", " ")
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return str(getattr(error, "strerror", None) or error)
