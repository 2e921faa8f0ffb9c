"""The C++ runner and the Python programs are peers of each other; what is damaged is refused as docs/wire.md says."""

import json
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from splitkit.bundle import Bundle
from splitkit.runtime.aggregator import run_aggregator
from splitkit.runtime.connection import Connection
from splitkit.runtime.wire import Kind, Message, bundle_key, encode
from tests.devices.linux_cross.peers import VIEWS, Peer, aarch64_bundle, images_file

pytestmark = pytest.mark.toolchain
FRAMES = 20


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
        connection = Connection.to("127.0.0.1", peer.port(), "the aggregator", 20.0)
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
    ("key", "view", "line"),
    [
        (b"\xab" * 16, 0, "error: view 0 runs bundle abababababababababababababababab, this aggregator bundle "),
        (None, 7, "error: view 7 does not exist: the bundle has 2"),
    ],
)
def test_cpp_aggregator_refuses_a_stranger(
    key: bytes | None, view: int, line: str, bundle: Bundle, aggregator: tuple[Peer, Connection]
) -> None:
    peer, connection = aggregator
    connection.send(Message(Kind.HELLO, key or bundle_key(bundle.id), view))
    answer = connection.receive()
    assert (answer.kind, answer.bundle) == (Kind.REFUSE, bundle_key(bundle.id))
    code, stderr = peer.end()
    assert code == 1
    assert stderr.startswith(line)


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
    "half a header": (lambda b: whole(a_tensor(b))[:30], "closed the connection in the middle of a header (30 of 68"),
    "half a payload": (lambda b: whole(a_tensor(b))[:-5], "closed the connection in the middle of frame 0 ("),
    "another frame": (lambda b: whole(a_tensor(b, 3)), "sent TENSOR 3 where frame 0 was due"),
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
    other = Connection.to(host, port, "the aggregator", 20.0)
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
        "error: the aggregator sent WELCOME where CAPTURE or END was due",
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
