"""The C++ runner and the Python programs are peers of each other; what is damaged is refused as docs/wire.md says."""

import json
import socket
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from splitkit.bundle import Bundle
from splitkit.errors import LinkError
from splitkit.runtime.admission import MOST_STRANGERS
from splitkit.runtime.aggregator import run_aggregator
from splitkit.runtime.allowance import Allowance
from splitkit.runtime.connection import Connection
from splitkit.runtime.wire import Kind, Message, bundle_key, encode
from splitkit.sides import Side
from tests.devices.linux_cross.peers import VIEWS, Peer, aarch64_bundle, images_file
from tests.runtime.peers import IPV6

pytestmark = pytest.mark.toolchain
FRAMES = 20
PATIENT = Allowance(20.0, 20.0)


@pytest.fixture
def bundle(needs: Callable[..., None]) -> Bundle:
    """Built by GCC, or by Zig where it is missing; emulated in either case."""
    needs("qemu-aarch64-static")
    return aarch64_bundle()


def expected_scores(bundle: Bundle) -> NDArray[np.float32]:
    """What the compiled halves compute of the sample, frame by frame, without any link."""
    sensor, aggregator = bundle.open("sensor"), bundle.open("aggregator")
    assert sensor is not None
    assert aggregator is not None
    return np.stack([aggregator(np.concatenate([sensor(v[None]) for v in f]))[0] for f in bundle.sample()[0]])


def test_cpp_aggregator_serves_python_sensors(bundle: Bundle, tmp_path: Path) -> None:
    records = tmp_path / "records.json"
    listen = ("--listen", "127.0.0.1:0", "--frames", str(FRAMES), "--records", str(records))
    with Peer(bundle, "aggregator", *listen) as aggregator:
        command = [sys.executable, "-m", "splitkit.runtime.sensor", str(bundle.path), "--connect"]
        command += [f"127.0.0.1:{aggregator.port()}", "--view"]
        sensors = [subprocess.Popen([*command, str(view)]) for view in range(VIEWS)]
        assert [sensor.wait(60) for sensor in sensors] == [0] * VIEWS
        assert aggregator.end() == (0, "")
    found = json.loads(records.read_text())
    assert [record["frame"] for record in found] == list(range(FRAMES))
    expected = expected_scores(bundle)
    for record in found:
        np.testing.assert_array_equal(np.float32(record["scores"]), expected[record["frame"] % len(expected)])
        assert len(record["captured_ns"]) == len(record["sent_ns"]) == VIEWS
        assert all(taken <= sent for taken, sent in zip(record["captured_ns"], record["sent_ns"], strict=True))
        assert max(record["sent_ns"]) <= record["received_ns"] <= record["result_ns"]


def test_python_aggregator_serves_cpp_sensors(bundle: Bundle, tmp_path: Path) -> None:
    with ExitStack() as started:
        sensors: list[Peer] = []

        def start(port: int) -> None:
            for view in range(VIEWS):
                images = images_file(bundle, view, tmp_path / f"view{view}")
                where = ("--connect", f"127.0.0.1:{port}", "--view", str(view), "--images", str(images))
                sensors.append(started.enter_context(Peer(bundle, "sensor", *where)))

        records = run_aggregator(bundle, ("127.0.0.1", 0), FRAMES, start)
        assert [sensor.end() for sensor in sensors] == [(0, "")] * VIEWS
    expected = expected_scores(bundle)
    for record in records:
        np.testing.assert_array_equal(np.float32(record.scores), expected[record.frame % len(expected)])


@pytest.fixture
def aggregator(bundle: Bundle) -> Iterator[tuple[Peer, Connection]]:
    """A C++ aggregator, and a connection to it that has not said anything yet."""
    with Peer(bundle, "aggregator", "--listen", "127.0.0.1:0") as peer:
        connection = Connection.to("127.0.0.1", peer.port(), "the aggregator", PATIENT)
        yield peer, connection
        connection.close()


def a_tensor(bundle: Bundle, frame: int = 0) -> Message:
    link = bundle.manifest.link
    array = np.zeros(link.shape, link.dtype)
    return Message(Kind.TENSOR, bundle_key(bundle.id), 0, frame, array, link.scale, link.zero_point)


def until_capture(bundle: Bundle, connection: Connection, other: Connection) -> None:
    """Greet as both views and wait for the first order."""
    for view, sensor in enumerate((connection, other)):
        sensor.send(Message(Kind.HELLO, bundle_key(bundle.id), view))
        assert sensor.receive().kind == Kind.WELCOME
    assert connection.receive().kind == Kind.CAPTURE


@pytest.mark.parametrize(
    ("sent", "line"),
    [
        (b"", "closed the connection after 0 of 68 bytes of a greeting"),
        (b"GET / HTTP/1.1\r\n\r\n", "does not speak splitkit's protocol"),
        (b"X", "does not speak splitkit's protocol"),
        (Message(Kind.HELLO, b"\xab" * 16, 0), f"view 0 runs bundle {'ab' * 16}, this aggregator bundle "),
        (Message(Kind.HELLO, b"", 1), "view 1 is connected already"),
        (Message(Kind.HELLO, b"", 7), "view 7 does not exist: the bundle has 2"),
        (Message(Kind.CAPTURE, b"", 0), "sent CAPTURE where HELLO was due"),
        ("4 GiB", "HELLO with a tensor"),
    ],
)  # fmt: skip
def test_cpp_aggregator_turns_a_stranger_away_and_goes_on_waiting(
    sent: bytes | str | Message, line: str, bundle: Bundle, aggregator: tuple[Peer, Connection]
) -> None:
    peer, connection = aggregator
    key = bundle_key(bundle.id)
    host, port = connection.socket.getpeername()
    silent = socket.create_connection((host, port))
    first, second = (Connection.to(host, port, "the aggregator", PATIENT) for _ in range(2))
    first.send(Message(Kind.HELLO, key, 1))
    assert first.receive().kind == Kind.WELCOME
    if isinstance(sent, Message):
        connection.send(replace(sent, bundle=sent.bundle or key))
        if sent.kind == Kind.HELLO:
            answer = connection.receive()
            assert (answer.kind, answer.bundle) == (Kind.REFUSE, key)
    else:
        connection.sendall(greedy_hello(key) if isinstance(sent, str) else sent)
        connection.socket.shutdown(socket.SHUT_WR)
    with pytest.raises(LinkError, match="closed the connection"):
        connection.receive()
    second.send(Message(Kind.HELLO, key, 0))
    assert second.receive().kind == Kind.WELCOME
    assert second.receive().kind == Kind.CAPTURE
    for other in (first.socket, second.socket, silent):
        other.close()
    code, stderr = peer.end()
    said, end = stderr.splitlines()
    assert said.startswith("127.0.0.1:")
    assert f" was turned away: {line}" in said
    assert (code, end.split(":")[:2]) == (1, ["error", " view 0"])


def greedy_hello(key: bytes) -> bytes:
    """A HELLO that announces 4 GiB; its checksum is right."""
    head = bytearray(encode(Message(Kind.HELLO, key))[0])
    struct.pack_into("<I", head, 56, 2**32 - 1)
    struct.pack_into("<I", head, 64, zlib.crc32(head[:64]))
    return bytes(head)


def test_cpp_aggregator_admits_a_sensor_that_restarts_while_others_are_waited_for(
    bundle: Bundle, aggregator: tuple[Peer, Connection]
) -> None:
    peer, first = aggregator
    key = bundle_key(bundle.id)
    host, port = first.socket.getpeername()
    first.send(Message(Kind.HELLO, key, 0))
    assert first.receive().kind == Kind.WELCOME
    first.close()
    time.sleep(0.5)
    sensors = [Connection.to(host, port, "the aggregator", PATIENT) for _ in range(2)]
    for view, sensor in enumerate(sensors):
        sensor.send(Message(Kind.HELLO, key, view))
        assert sensor.receive().kind == Kind.WELCOME
    assert sensors[0].receive().kind == Kind.CAPTURE
    for sensor in sensors:
        sensor.close()
    assert peer.end()[1].startswith("view 0 went away before the first frame: waiting for it again\n")


def test_cpp_aggregator_drops_a_silent_peer_and_says_who_is_missing(bundle: Bundle) -> None:
    with Peer(bundle, "aggregator", "--listen", "127.0.0.1:0", "--timeout", "2") as aggregator:
        with socket.create_connection(("127.0.0.1", aggregator.port())) as silent:
            assert silent.recv(1) == b""
        code, stderr = aggregator.end()
    *said, end = stderr.splitlines()  # both are due after 2 s: giving up may come first
    assert code == 1
    assert end.startswith("error: view 0 did not connect within 2 s")
    for line in said:
        assert " was turned away: did not say who it is within 2" in line
        assert "; turned away last: 127.0.0.1:" in end


def test_cpp_aggregator_limits_strangers_in_number_and_the_eldest_gives_way(
    bundle: Bundle, aggregator: tuple[Peer, Connection]
) -> None:
    peer, eldest = aggregator
    host, port = eldest.socket.getpeername()
    others = [socket.create_connection((host, port)) for _ in range(MOST_STRANGERS + VIEWS - 1)]
    newest = Connection.to(host, port, "the aggregator", PATIENT)
    newest.send(Message(Kind.HELLO, bundle_key(bundle.id), 0))
    assert newest.receive().kind == Kind.WELCOME
    with pytest.raises(LinkError, match="closed the connection"):
        eldest.receive()
    for other in (*others, newest):
        other.close()
    peer.process.terminate()
    assert " was turned away: gave way to a newer connection" in peer.end()[1].splitlines()[0]


def test_cpp_aggregator_takes_single_bytes_for_silence(bundle: Bundle) -> None:
    with Peer(bundle, "aggregator", "--listen", "127.0.0.1:0", "--timeout", "1") as aggregator:
        port = aggregator.port()
        sensors = [Connection.to("127.0.0.1", port, "the aggregator", PATIENT) for _ in range(2)]
        until_capture(bundle, *sensors)
        for byte in whole(a_tensor(bundle)):
            try:
                sensors[0].sendall(bytes([byte]))
            except LinkError:
                break
            time.sleep(0.1)
        code, stderr = aggregator.end()
        for sensor in sensors:
            sensor.close()
    assert code == 1
    assert stderr.startswith("error: view 0: silent for 1 s while a header was due (")


def test_cpp_aggregator_names_a_peer_that_stalls(bundle: Bundle) -> None:
    with Peer(bundle, "aggregator", "--listen", "127.0.0.1:0", "--timeout", "1") as aggregator:
        port = aggregator.port()
        sensors = [Connection.to("127.0.0.1", port, "the aggregator", PATIENT) for _ in range(2)]
        until_capture(bundle, *sensors)
        sensors[0].sendall(whole(a_tensor(bundle)))
        sensors[1].sendall(whole(replace(a_tensor(bundle), view=1))[:-5])
        code, stderr = aggregator.end()
        for sensor in sensors:
            sensor.close()
    assert code == 1
    assert stderr.startswith("error: view 1: silent for 1 s while frame 0 was due (")


@pytest.mark.parametrize("host", ["0.0.0.0", pytest.param("[::]", marks=IPV6)])
def test_cpp_aggregator_listens_to_others_only_if_told_to(host: str, bundle: Bundle) -> None:
    with Peer(bundle, "aggregator", "--listen", f"{host}:0") as refused:
        code, stderr = refused.end()
    assert code == 2
    assert stderr.startswith(f"error: aggregator: {host}:0: whoever reaches this address can take a sensor's place")
    with Peer(bundle, "aggregator", "--listen", f"{host}:0", "--insecure") as meant:
        assert meant.port(host) > 0


@pytest.mark.parametrize(
    ("side", "arguments", "line"),
    [
        ("aggregator", ("--listen", "127.0.0.1:65536"), "port 65536 does not exist: 0 to 65535 do"),
        ("aggregator", ("--listen", "[::1"), "'[::1' is not HOST, HOST:PORT or [IPV6]:PORT"),
        ("aggregator", ("--listen", "a:b:1"), "a:b:1]:4747: not a numeric IPv4 or IPv6 address"),
        ("sensor", ("--images", "x", "--connect", "127.0.0.1:0"), "port 0 does not exist: 1 to 65535 do"),
    ],
)
def test_cpp_addresses_are_checked(side: Side, arguments: tuple[str, ...], line: str, bundle: Bundle) -> None:
    with Peer(bundle, side, *arguments) as peer:
        code, stderr = peer.end()
    assert code in (1, 2)
    assert line in stderr


@IPV6
def test_peers_meet_over_ipv6(bundle: Bundle, tmp_path: Path) -> None:
    """C++ on both sides; what one prints the other reads."""
    listen = ("--listen", "[::1]:0", "--frames", "3")
    with Peer(bundle, "aggregator", *listen) as aggregator, ExitStack() as started:
        where = f"[::1]:{aggregator.port('[::1]')}"
        for view in range(VIEWS):
            images = images_file(bundle, view, tmp_path / f"view{view}")
            started.enter_context(
                Peer(bundle, "sensor", "--connect", where, "--view", str(view), "--images", str(images))
            )
        assert aggregator.end() == (0, "")


def flipped(data: bytes, position: int) -> bytes:
    damaged = bytearray(data)
    damaged[position] ^= 0x10
    return bytes(damaged)


DAMAGE: dict[str, tuple[Callable[[Bundle], bytes], str]] = {
    "payload": (lambda b: flipped(whole(a_tensor(b)), -1), "frame 0 of view 0: payload CRC-32 is "),
    "frame number": (lambda b: flipped(whole(a_tensor(b)), 8), "damaged header: CRC-32 is "),
    "shape": (lambda b: flipped(whole(a_tensor(b)), 68 + 4), "damaged header: CRC-32 is "),
    "magic": (lambda b: flipped(whole(a_tensor(b)), 0), "the peer does not speak splitkit's protocol"),
    "version": (lambda b: flipped(whole(a_tensor(b)), 4), "the peer speaks version 17 of the protocol"),
    "rank": (lambda b: flipped(whole(a_tensor(b)), 33), "damaged header: 20 dimensions"),
    "half a header": (
        lambda b: whole(a_tensor(b))[:30],
        "closed the connection in the middle of a header, after 30 of 68",
    ),
    "half a payload": (lambda b: whole(a_tensor(b))[:-5], "closed the connection in the middle of frame 0, after "),
    "another frame": (lambda b: whole(a_tensor(b, 3)), "sent TENSOR 3 of view 0 where frame 0 was due"),
    "another view": (lambda b: whole(replace(a_tensor(b), view=1)), "sent TENSOR 0 of view 1 where frame 0 was due"),
    "another bundle": (lambda b: whole(replace(a_tensor(b), bundle=b"x" * 16)), "sent a frame of another bundle"),
    "another shape": (
        lambda b: whole(Message(Kind.TENSOR, bundle_key(b.id), array=np.zeros((1, 2), np.uint8))),
        "sent uint8 [1, 2], the bundle's link carries uint8 [1, ",
    ),
    "another dtype": (
        lambda b: whole(Message(Kind.TENSOR, bundle_key(b.id), array=np.zeros(b.manifest.link.shape, np.float32))),
        "sent float32 [1, ",
    ),
}


def whole(message: Message) -> bytes:
    head, payload = encode(message)
    return head + bytes(payload)


@pytest.mark.parametrize("damage", DAMAGE)
def test_cpp_aggregator_refuses_a_damaged_frame(
    damage: str, bundle: Bundle, aggregator: tuple[Peer, Connection]
) -> None:
    peer, connection = aggregator
    host, port = connection.socket.getpeername()
    other = Connection.to(host, port, "the aggregator", PATIENT)
    until_capture(bundle, connection, other)
    make, line = DAMAGE[damage]
    connection.socket.sendall(make(bundle))
    connection.socket.shutdown(socket.SHUT_WR)
    code, stderr = peer.end()
    other.close()
    assert code == 1
    assert stderr.startswith("error: view 0: ")
    assert line in stderr


ANSWERS: dict[str, tuple[Callable[[Bundle], bytes], int, str]] = {
    "refusal": (lambda b: whole(Message(Kind.REFUSE, bundle_key(b.id))), 1, "error: the aggregator refuses view 0"),
    "another bundle": (
        lambda b: whole(Message(Kind.REFUSE, b"\xcd" * 16)),
        1,
        "the aggregator runs bundle cdcd",
    ),
    "damaged": (lambda b: flipped(whole(Message(Kind.WELCOME, bundle_key(b.id))), 20), 1, "damaged header: CRC-32 is "),
    "truncated": (lambda b: whole(Message(Kind.WELCOME, bundle_key(b.id)))[:40], 1, "in the middle of a header"),
    "silence": (lambda b: b"", 1, "error: the aggregator: closed the connection"),
    "out of order": (
        lambda b: whole(Message(Kind.WELCOME, bundle_key(b.id))) * 2,
        1,
        "error: the aggregator sent WELCOME for view 0 where CAPTURE or END was due",
    ),
    "another view": (
        lambda b: whole(Message(Kind.WELCOME, bundle_key(b.id), 1)),
        1,
        "error: the aggregator sent WELCOME for view 1 where WELCOME was due",
    ),
    "an order for another view": (
        lambda b: whole(Message(Kind.WELCOME, bundle_key(b.id))) + whole(Message(Kind.CAPTURE, bundle_key(b.id), 1)),
        1,
        "error: the aggregator sent CAPTURE for view 1 where CAPTURE or END was due",
    ),
    "an order for another bundle": (
        lambda b: whole(Message(Kind.WELCOME, bundle_key(b.id))) + whole(Message(Kind.END, b"x" * 16)),
        1,
        "error: the aggregator sent an order for another bundle",
    ),
    "the end": (
        lambda b: whole(Message(Kind.WELCOME, bundle_key(b.id))) + whole(Message(Kind.END, bundle_key(b.id))),
        0,
        "",
    ),
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_cpp_sensor_checks_what_the_aggregator_says(answer: str, bundle: Bundle, tmp_path: Path) -> None:
    make, expected, line = ANSWERS[answer]
    images = images_file(bundle, 0, tmp_path / "images")
    with socket.create_server(("127.0.0.1", 0)) as server:
        where = f"127.0.0.1:{server.getsockname()[1]}"
        with Peer(bundle, "sensor", "--connect", where, "--images", str(images)) as sensor:
            server.settimeout(20)
            peer, _ = server.accept()
            with peer:
                connection = Connection(peer, "the sensor", 20.0)
                hello = connection.receive()
                assert (hello.kind, hello.view, hello.bundle) == (Kind.HELLO, 0, bundle_key(bundle.id))
                peer.sendall(make(bundle))
                peer.shutdown(socket.SHUT_WR)
                code, stderr = sensor.end()
    assert code == expected
    assert line in stderr
