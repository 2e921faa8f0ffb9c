"""Who may take part: a server that only answers where it may, and the greeting that every sensor has to pass.

Several peers are greeted at a time, so that a silent one does not hold up the others. Before it is admitted a peer is
read one header (68 bytes) and nothing else. Whoever is no sensor of this bundle is dropped with a line, and the
aggregator goes on waiting for those that are missing.
"""

import ipaddress
import selectors
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self

from splitkit.addresses import format_address
from splitkit.errors import ConfigError, LinkError
from splitkit.runtime.allowance import Allowance
from splitkit.runtime.clock import Patience, now_ns
from splitkit.runtime.connection import NOT_YET, Connection, reason
from splitkit.runtime.wire import HEADER_BYTES, MAGIC, Kind, Message, TensorType, decode, encode, rank_of

MOST_STRANGERS = 16
"""How many peers, beside those that are missing, may be in the middle of their greeting; then the eldest is dropped."""

TLS_HANDSHAKE = b"\x16\x03"
"""How every TLS connection begins: the type of its first record, and the major version."""

KEEPALIVE_S = 10
"""A sensor that has lost its power sends no goodbye; the system asks after it this often, and twice more."""


@dataclass(frozen=True)
class Terms:
    """What a sensor has to agree with.

    Attributes:
        key: of the bundle, as it stands in messages.
        views: how many sensors there are.
        link: what each of them sends.
        timeout_s: how long the next sensor may take to come.
        tls: None: in the clear.
    """

    key: bytes
    views: int
    link: TensorType
    allowance: Allowance
    timeout_s: float
    patience: Patience
    tls: ssl.SSLContext | None = None


def listen(host: str, port: int, protected: bool) -> socket.socket:
    """A server there. Without protection (TLS, or a user who says so) only this machine may be able to reach it.

    Raises:
        ConfigError: others can reach that address, and it is not protected.
        LinkError: the port is taken, or the address is not one of this machine's.
    """
    where = format_address(host, port)
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        if not protected and not ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback:
            raise ConfigError(
                f"{where}: without TLS, whoever reaches this address can take a sensor's place",
                "give --tls-cert, --tls-key and --tls-ca, or --insecure if you trust everybody on that network",
            )
        return socket.create_server(address, family=family, backlog=64)
    except (OSError, UnicodeError) as error:
        raise LinkError(f"{where}: cannot listen: {reason(error)}", "choose another address or port") from error


@dataclass(eq=False)
class Greeting:
    """A peer that has connected and not yet said who it is."""

    peer: socket.socket
    where: str
    until_ns: int
    in_tls: bool
    head: bytearray = field(default_factory=bytearray)

    def advance(self) -> Message:
        """The HELLO, once it is whole.

        Raises:
            OSError: there is nothing yet (one of `NOT_YET`), or the peer is gone.
            LinkError: it said something else.
        """
        if not self.in_tls:
            assert isinstance(self.peer, ssl.SSLSocket)
            self.peer.do_handshake()
            self.in_tls = True
        while len(self.head) < HEADER_BYTES:
            data = self.peer.recv(HEADER_BYTES - len(self.head))
            self.head += data
            if not data:
                raise LinkError(f"closed the connection after {len(self.head)} of {HEADER_BYTES} bytes of a greeting")
            if not MAGIC.startswith(self.head[: len(MAGIC)]):
                if self.head.startswith(TLS_HANDSHAKE):
                    raise LinkError("speaks TLS, and this aggregator was started without --tls-cert")
                raise LinkError(f"does not speak splitkit's protocol: it sent {bytes(self.head[:16])!r}")
        if rank_of(self.head):
            raise LinkError("sent a tensor where HELLO was due")
        hello = decode(bytes(self.head)).message
        if hello.kind != Kind.HELLO:
            raise LinkError(f"sent {hello.kind.name} where HELLO was due")
        return hello


class Gathering:
    """Admits sensors: ahead of the first frame until there is one for every view, later in place of those that left.

    `say` is given a line for each peer that was turned away. Leaving it closes all connections.

    Attributes:
        sensors: the connections there are, by view.
    """

    def __init__(self, server: socket.socket, terms: Terms, say: Callable[[str], None]) -> None:
        self._server, self._terms, self._say = server, terms, say
        self._selector = selectors.DefaultSelector()
        self._greetings: list[Greeting] = []
        self.sensors: dict[int, Connection] = {}
        self._last_refusal = ""

    def __enter__(self) -> Self:
        self._server.setblocking(False)
        self._selector.register(self._server, selectors.EVENT_READ)
        return self

    def __exit__(self, *_: object) -> None:
        for sensor in self.sensors.values():
            sensor.close()
        for greeting in self._greetings:
            greeting.peer.close()
        self._selector.close()

    def wait(self) -> None:
        """Until there is a sensor for every view; then frames may begin.

        Raises:
            LinkError: no further one came within the timeout; the message says who was turned away last.
        """
        self._wait()
        for sensor in self.sensors.values():
            self._selector.unregister(sensor.socket)

    def admit_waiting(self) -> None:
        """Take in sensors of missing views that stand at the door, without waiting for any."""
        before = set(self.sensors)
        self._listen(0.0)
        for view in self.sensors.keys() - before:
            self._selector.unregister(self.sensors[view].socket)
            self._say(f"view {view} is there again")

    def lose(self, view: int, why: str) -> None:
        """Go on without a view until its sensor connects again."""
        self.sensors.pop(view).close()
        self._say(f"{why}: going on without view {view}")

    def _wait(self) -> None:
        views, timeout_s = self._terms.views, self._terms.timeout_s
        until_ns, present = now_ns() + round(timeout_s * 1e9), 0
        while len(self.sensors) < views:
            if len(self.sensors) > present:
                until_ns = now_ns() + round(timeout_s * 1e9)
            present, now = len(self.sensors), now_ns()
            if now >= until_ns:
                missing = next(view for view in range(views) if view not in self.sensors)
                refused = f"; turned away last: {self._last_refusal}" if self._last_refusal else ""
                raise LinkError(f"view {missing} did not connect within {timeout_s:g} s{refused}")
            next_ns = min([until_ns, *(greeting.until_ns for greeting in self._greetings)])
            self._listen(max(0.0, (next_ns - now) / 1e9))

    def _listen(self, longest_s: float) -> None:
        """Wait for something to happen, and see to it."""
        for late in [greeting for greeting in self._greetings if greeting.until_ns <= now_ns()]:
            self._drop(late, f"did not say who it is within {self._terms.allowance.greeting_s:.3g} s")
        for key, _ in self._selector.select(longest_s):
            if key.data is None:
                self._accept()
            elif key.data in self._greetings:  # what came first may have dropped it
                self._greet(key.data)
            elif key.data in self.sensors.values():
                self._watch(key.data)

    def _accept(self) -> None:
        try:
            peer, address = self._server.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError as error:
            raise LinkError(f"cannot accept connections: {reason(error)}") from error
        if len(self._greetings) >= MOST_STRANGERS + self._terms.views:
            self._drop(self._greetings[0], "gave way to a newer connection without having said who it is")
        peer.setblocking(False)
        where = format_address(*address[:2]) if isinstance(address, tuple) else "a peer"
        tls = self._terms.tls
        if tls is not None:
            try:
                peer = tls.wrap_socket(peer, server_side=True, do_handshake_on_connect=False)
            except OSError as error:  # gone already
                peer.close()
                self._say(f"{where} was turned away: no TLS connection: {reason(error)}")
                return
        until_ns = now_ns() + round(self._terms.allowance.greeting_s * 1e9)
        greeting = Greeting(peer, where, until_ns, in_tls=tls is None)
        self._greetings.append(greeting)
        self._selector.register(peer, selectors.EVENT_READ, greeting)

    def _greet(self, greeting: Greeting) -> None:
        """Hear a peer out as far as it has got; admit it, or drop it."""
        try:
            hello = greeting.advance()
            self._admit(greeting, hello)
        except NOT_YET as error:
            writing = isinstance(error, ssl.SSLWantWriteError)
            self._selector.modify(greeting.peer, selectors.EVENT_WRITE if writing else selectors.EVENT_READ, greeting)
        except OSError as error:
            self._drop(greeting, reason(error) if greeting.in_tls else f"no TLS connection: {reason(error)}")
        except LinkError as error:
            self._drop(greeting, str(error))

    def _admit(self, greeting: Greeting, hello: Message) -> None:
        """Answer a HELLO.

        Raises:
            OSError, LinkError: it was refused and told so, or is gone.
        """
        refusal = self._refusal(hello)
        answer, _ = encode(Message(Kind.REFUSE if refusal else Kind.WELCOME, self._terms.key, hello.view))
        with suppress(*NOT_YET):  # a peer whose buffer is full before the first answer is told nothing
            greeting.peer.send(answer)
        if refusal:
            raise refusal
        _keep_alive(greeting.peer)
        silence_s, patience = self._terms.allowance.silence_s, self._terms.patience
        sensor = Connection(greeting.peer, f"view {hello.view}", silence_s, patience)
        sensor.carries = self._terms.link
        self._greetings.remove(greeting)
        self.sensors[hello.view] = sensor
        self._selector.modify(greeting.peer, selectors.EVENT_READ, sensor)

    def _refusal(self, hello: Message) -> LinkError | None:
        """Why a sensor cannot be admitted."""
        if hello.bundle != self._terms.key:
            return LinkError(
                f"view {hello.view} runs bundle {hello.bundle.hex()}, this aggregator bundle {self._terms.key.hex()}",
                "both sides need the same export",
            )
        if hello.view >= self._terms.views:
            state = f"does not exist: the bundle has {self._terms.views}"
        elif hello.view in self.sensors:
            state = "is connected already"
        else:
            return None
        return LinkError(f"view {hello.view} {state}", "start each sensor once, views counted from 0")

    def _watch(self, sensor: Connection) -> None:
        """An admitted sensor has nothing to say before the first frame: it went away, or is none."""
        try:
            what = "spoke before it was asked" if sensor.socket.recv(1) else "went away"
        except NOT_YET:
            return
        except OSError:
            what = "went away"
        self._selector.unregister(sensor.socket)
        sensor.close()
        self.sensors = {view: other for view, other in self.sensors.items() if other is not sensor}
        self._say(f"{sensor.name} {what} before the first frame: waiting for it again")

    def _drop(self, greeting: Greeting, why: str) -> None:
        self._greetings.remove(greeting)
        self._selector.unregister(greeting.peer)
        with suppress(OSError):  # bytes left unread would reset the connection, and our answer be lost with it
            socket.socket.recv(greeting.peer, 1 << 16)
        greeting.peer.close()
        self._last_refusal = f"{greeting.where}: {why}"
        self._say(f"{greeting.where} was turned away: {why}")


def _keep_alive(peer: socket.socket) -> None:
    if peer.family == socket.AF_UNIX:
        return
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", KEEPALIVE_S), ("TCP_KEEPINTVL", KEEPALIVE_S), ("TCP_KEEPCNT", 2)):
        if hasattr(socket, option):
            peer.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
