"""An aggregator that gathers its sensors in a thread, and the ends that tests play."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import pytest

from splitkit.errors import LinkError
from splitkit.runtime.admission import Gathering, Terms, listen
from splitkit.runtime.allowance import Allowance
from splitkit.runtime.clock import Patience
from splitkit.runtime.connection import Connection
from splitkit.runtime.tls import Credentials
from splitkit.runtime.wire import TensorType

KEY, OTHER = bytes(range(16)), bytes(range(16, 32))
IMPATIENT = Patience(spin_ns=0, poll_ns=0)
LINK = TensorType("uint8", (1, 100))
SOON = Allowance(silence_s=5.0, greeting_s=5.0)


def _has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


IPV6 = pytest.mark.skipif(not _has_ipv6(), reason="this machine has no IPv6")


@dataclass
class Aggregator:
    """Gathers `views` sensors on a port of its own; use it as a context, which waits for its end."""

    views: int = 1
    allowance: Allowance = SOON
    timeout_s: float = 10.0
    credentials: Credentials | None = None
    host: str = "127.0.0.1"
    lines: list[str] = field(default_factory=list)
    sensors: list[Connection] = field(default_factory=list)
    error: LinkError | None = None

    def __enter__(self) -> Self:
        tls = None if self.credentials is None else self.credentials.server()
        terms = Terms(KEY, self.views, LINK, self.allowance, self.timeout_s, IMPATIENT, tls)
        self._open = ExitStack()
        self._server = listen(self.host, 0, protected=False)
        self._thread = threading.Thread(target=self._run, args=(Gathering(self._server, terms, self.lines.append),))
        self._thread.start()
        return self

    def _run(self, gathering: Gathering) -> None:
        self._open.enter_context(gathering)
        try:
            gathering.wait()
            self.sensors = [sensor for _, sensor in sorted(gathering.sensors.items())]
        except LinkError as error:
            self.error = error
            self._open.close()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.getsockname()[1])

    def stranger(self) -> socket.socket:
        """Somebody who has connected and says nothing yet."""
        return socket.create_connection((self.host, self.port), timeout=10)

    def sensor(self, credentials: Credentials | None = None) -> Connection:
        """A sensor that has connected and not greeted yet."""
        tls = None if credentials is None else credentials.client()
        return Connection.to(self.host, self.port, "the aggregator", SOON, IMPATIENT, tls)

    def wait(self) -> None:
        """Until it has its sensors, or has given up."""
        self._thread.join(20)
        assert not self._thread.is_alive()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.wait()
        self._server.close()
        self._open.close()


@contextmanager
def playing(play: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server for one peer, played by a function in a thread; the port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            peer, _ = server.accept()
            with peer, suppress(OSError):  # the other side has given up, which is what is tested
                play(peer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        thread.join(20)
        assert not thread.is_alive()
