"""Who is turned away while sensors are waited for, and that nobody else has to wait for it."""

import socket
import struct
import subprocess
import sys
import time
import tracemalloc
import zlib
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module

import pytest

from splitkit.errors import ConfigError, LinkError
from splitkit.runtime.admission import MOST_STRANGERS, listen
from splitkit.runtime.allowance import Allowance
from splitkit.runtime.program import run_program
from splitkit.runtime.sensor import _greet
from splitkit.runtime.wire import Kind, Message, encode
from tests.bundle.bundles import exported
from tests.runtime.peers import IPV6, KEY, OTHER, Aggregator

HELLO = encode(Message(Kind.HELLO, KEY))[0]


def greedy_hello(length: int) -> bytes:
    """A HELLO that announces a payload; its checksum is right."""
    head = bytearray(HELLO)
    struct.pack_into("<I", head, 56, length)
    struct.pack_into("<I", head, 64, zlib.crc32(head[:64]))
    return bytes(head)


STRAYS: dict[str, tuple[bytes, str]] = {
    "port scan": (b"", "closed the connection after 0 of 68 bytes of a greeting"),
    "health check": (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "does not speak splitkit's protocol: it sent b'GET / HTTP"),
    "one wrong byte": (b"X", "does not speak splitkit's protocol"),
    "TLS": (b"\x16\x03\x01\x02\x00", "speaks TLS, and this aggregator was started without --tls-cert"),
    "half a greeting": (HELLO[:40], "closed the connection after 40 of 68 bytes"),
    "damaged greeting": (HELLO[:20] + b"\xff" + HELLO[21:], "damaged header: CRC-32"),
    "another kind": (encode(Message(Kind.CAPTURE, KEY))[0], "sent CAPTURE where HELLO was due"),
    "4 GiB": (greedy_hello(2**32 - 1), "HELLO with a tensor"),
}


@pytest.mark.parametrize("stray", STRAYS)
def test_a_stray_connection_is_turned_away_and_the_sensor_is_welcome(stray: str) -> None:
    sent, line = STRAYS[stray]
    with Aggregator() as aggregator:
        with aggregator.stranger() as peer:
            peer.sendall(sent)
            if line.startswith("closed"):
                peer.shutdown(socket.SHUT_WR)
            assert peer.recv(1) == b"", "it is closed at once"
        sensor = aggregator.sensor()
        _greet(sensor, KEY, 0)
    assert [connection.name for connection in aggregator.sensors] == ["view 0"]
    (said,) = aggregator.lines
    assert said.startswith("127.0.0.1:")
    assert f" was turned away: {line}" in said
    sensor.close()


def test_silent_and_dribbling_peers_hold_up_nobody() -> None:
    with Aggregator(views=2) as aggregator:
        silent = [aggregator.stranger() for _ in range(5)]
        for n, peer in enumerate(silent):
            peer.sendall(HELLO[:n])
        started = time.monotonic()
        sensors = [aggregator.sensor() for _ in range(2)]
        for view, sensor in enumerate(sensors):
            _greet(sensor, KEY, view)
        aggregator.wait()
        assert time.monotonic() - started < 2
    for peer in (*silent, *(sensor.socket for sensor in sensors)):
        peer.close()
    assert len(aggregator.sensors) == 2


def test_a_greeting_has_a_time_limit_that_single_bytes_do_not_extend() -> None:
    with Aggregator(allowance=Allowance(5.0, 0.4), timeout_s=3.0) as aggregator, aggregator.stranger() as peer:
        started = time.monotonic()
        peer.settimeout(0.05)
        for byte in HELLO:
            try:
                peer.send(bytes([byte]))
                assert peer.recv(1) == b""
                break
            except TimeoutError:
                continue
        assert 0.3 < time.monotonic() - started < 2
    assert "did not say who it is within 0.4 s" in aggregator.lines[0]
    assert "view 0 did not connect within 3 s; turned away last: 127.0.0.1:" in str(aggregator.error)


def test_strangers_are_limited_in_number_and_the_eldest_gives_way() -> None:
    with Aggregator() as aggregator:
        peers = [aggregator.stranger() for _ in range(MOST_STRANGERS + 1)]
        eldest, *others = peers
        newest = aggregator.stranger()
        assert eldest.recv(1) == b""
        newest.sendall(HELLO)
        assert newest.recv(68)[5] == Kind.WELCOME
    for peer in (*others, newest):
        peer.close()
    assert "gave way to a newer connection" in aggregator.lines[0]
    assert len(aggregator.lines) == 1


def test_a_sensor_that_restarts_while_others_are_waited_for_is_admitted_again() -> None:
    with Aggregator(views=2) as aggregator:
        first = aggregator.sensor()
        _greet(first, KEY, 0)
        first.close()
        again, other = aggregator.sensor(), aggregator.sensor()
        for _ in range(100):
            if aggregator.lines:
                break
            time.sleep(0.02)
        _greet(again, KEY, 0)
        _greet(other, KEY, 1)
    assert [connection.name for connection in aggregator.sensors] == ["view 0", "view 1"]
    assert aggregator.lines == ["view 0 went away before the first frame: waiting for it again"]
    again.close()
    other.close()


def test_a_sensor_that_speaks_before_it_is_asked_is_none() -> None:
    with Aggregator(views=2, timeout_s=1.0) as aggregator:
        eager = aggregator.sensor()
        _greet(eager, KEY, 0)
        eager.send(Message(Kind.HELLO, KEY))
        with pytest.raises(LinkError):
            eager.receive()
        eager.close()
    assert aggregator.lines == ["view 0 spoke before it was asked before the first frame: waiting for it again"]
    assert "view 0 did not connect within 1 s" in str(aggregator.error)


@pytest.mark.parametrize(
    ("key", "view", "told", "line"),
    [
        (OTHER, 0, f"the aggregator runs bundle {KEY.hex()}, this sensor bundle", f"runs bundle {OTHER.hex()}"),
        (KEY, 1, "the aggregator refuses view 1", "view 1 is connected already"),
        (KEY, 2, "the aggregator refuses view 2", "view 2 does not exist: the bundle has 2"),
        (KEY, 65535, "the aggregator refuses view 65535", "view 65535 does not exist"),
    ],
)  # fmt: skip
def test_a_sensor_that_does_not_belong_is_told_and_the_others_are_waited_for(
    key: bytes, view: int, told: str, line: str
) -> None:
    with Aggregator(views=2) as aggregator:
        sensors = [aggregator.sensor() for _ in range(3)]
        _greet(sensors[1], KEY, 1)
        with pytest.raises(LinkError, match=told):
            _greet(sensors[2], key, view)
        _greet(sensors[0], KEY, 0)
    assert len(aggregator.sensors) == 2
    assert line in aggregator.lines[0]
    for sensor in sensors:
        sensor.close()


def test_nothing_larger_than_a_greeting_is_held_for_a_stranger() -> None:
    tracemalloc.start()
    try:
        with Aggregator(timeout_s=2.0) as aggregator:
            for length in (2**20, 2**28, 2**32 - 1):
                with aggregator.stranger() as peer:
                    peer.sendall(greedy_hello(length) + bytes(100_000))
                    with suppress(ConnectionResetError):  # it was closed with our bytes unread
                        assert peer.recv(1) == b""
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    assert len(aggregator.lines) == 3


@pytest.mark.parametrize("host", ["0.0.0.0", pytest.param("::", marks=IPV6)])
def test_listening_to_others_without_tls_has_to_be_meant(host: str) -> None:
    with pytest.raises(ConfigError, match="--tls-cert, --tls-key and --tls-ca, or --insecure"):
        listen(host, 0, protected=False)
    listen(host, 0, protected=True).close()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "localhost", pytest.param("::1", marks=IPV6)])
def test_this_machine_may_talk_to_itself(host: str) -> None:
    listen(host, 0, protected=False).close()


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a..b", "192.0.2.1"])
def test_where_one_cannot_listen_is_one_line(host: str) -> None:
    with pytest.raises(LinkError, match=rf"^{host}:4747: cannot listen: [^\[]*\(choose another address or port\)$"):
        listen(host, 4747, protected=True)


@IPV6
def test_sensors_connect_over_ipv6() -> None:
    with Aggregator(host="::1") as aggregator:
        with aggregator.stranger() as stray:
            stray.sendall(b"GET /")
            assert stray.recv(1) == b""
        sensor = aggregator.sensor()
        _greet(sensor, KEY, 0)
        sensor.close()
    assert aggregator.lines[0].startswith("[::1]:")


@IPV6
def test_both_programs_speak_ipv6_and_what_is_printed_is_read_back() -> None:
    bundle = exported(0, "float32")
    command = [sys.executable, "-m", "splitkit.runtime.aggregator", str(bundle.path), "--listen", "[::1]:0"]
    aggregator = subprocess.Popen([*command, "--frames", "3"], stdout=subprocess.PIPE, text=True)
    assert aggregator.stdout is not None
    where = aggregator.stdout.readline().removeprefix("listening on ").strip()
    assert where.startswith("[::1]:")
    command = [sys.executable, "-m", "splitkit.runtime.sensor", str(bundle.path), "--connect", where]
    assert subprocess.run(command, check=False, timeout=60).returncode == 0
    output, _ = aggregator.communicate(timeout=60)
    assert aggregator.returncode == 0
    assert output.startswith("frame 0: class ")


@pytest.mark.parametrize(
    ("program", "arguments", "line"),
    [
        ("aggregator", ("--listen", "127.0.0.1:65536"), "port 65536 does not exist"),
        ("aggregator", ("--frames", "-1"), "'-1' is no number from 1 to 999999999"),
        ("aggregator", ("--frames", "²"), "'²' is no number from 1 to 999999999"),
        ("aggregator", ("--timeout", "-1"), "'-1' is no time"),
        ("aggregator", ("--timeout", "nan"), "'nan' is no time"),
        ("aggregator", ("--records", "no/such/directory/r.json"), "no/such/directory: there is no such directory"),
        ("aggregator", ("--tls-cert", "x"), "--tls-key is missing"),
        ("sensor", ("--connect", "127.0.0.1:0"), "port 0 does not exist"),
        ("sensor", ("--connect", "host:²"), "is not HOST, HOST:PORT"),
        ("aggregator", ("--listen", "0.0.0.0:0"), "0.0.0.0:0: without TLS"),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(
    program: str, arguments: tuple[str, ...], line: str, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    run: Callable[[], None] = import_module(f"splitkit.runtime.{program}").main
    path = str(exported(0, "float32").path) if arguments[1] == "0.0.0.0:0" else "no-bundle"
    monkeypatch.setattr(sys, "argv", [program, path, *arguments])
    try:
        code = run_program(run)
    except SystemExit as stop:
        code = int(stop.code or 0)
    assert code == 2
    assert line in capsys.readouterr().err.strip().splitlines()[-1]
