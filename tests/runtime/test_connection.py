import socket
from collections.abc import Iterator

import numpy as np
import pytest

from splitkit.errors import LinkError
from splitkit.runtime.aggregator import _admit
from splitkit.runtime.clock import Patience
from splitkit.runtime.connection import Connection
from splitkit.runtime.sensor import _greet
from splitkit.runtime.wire import Kind, Message, encode

KEY, OTHER = bytes(range(16)), bytes(range(16, 32))
IMPATIENT = Patience(spin_ns=0, poll_ns=0)


@pytest.fixture
def ends() -> Iterator[tuple[Connection, Connection]]:
    """The aggregator's and the sensor's end of one TCP connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        sensor = Connection.to("127.0.0.1", server.getsockname()[1], "the aggregator", 0.3, IMPATIENT)
        peer, _ = server.accept()
    aggregator = Connection(peer, "view 0", 0.3, IMPATIENT)
    yield aggregator, sensor
    aggregator.close()
    sensor.close()


def test_large_tensor_arrives_in_pieces(ends: tuple[Connection, Connection]) -> None:
    aggregator, sensor = ends
    array = np.arange(50_000, dtype=np.float32).reshape(1, -1)
    sensor.send(Message(Kind.TENSOR, KEY, frame=4, array=array))
    got = aggregator.receive()
    assert got.frame == 4
    np.testing.assert_array_equal(got.array, array)


def test_peer_gone_between_messages(ends: tuple[Connection, Connection]) -> None:
    aggregator, sensor = ends
    sensor.close()
    with pytest.raises(LinkError, match=r"^view 0: closed the connection$"):
        aggregator.receive()


def test_peer_gone_in_the_middle_of_a_frame(ends: tuple[Connection, Connection]) -> None:
    aggregator, sensor = ends
    head, payload = encode(Message(Kind.TENSOR, KEY, frame=3, array=np.zeros((1, 100), np.uint8)))
    sensor.socket.sendall(head + bytes(payload[:40]))
    sensor.close()
    with pytest.raises(LinkError, match="view 0: closed the connection in the middle of frame 3, after 40 of 100"):
        aggregator.receive()


def test_silent_peer(ends: tuple[Connection, Connection]) -> None:
    with pytest.raises(LinkError, match=r"view 0: silent for 0\.3 s"):
        ends[0].receive()


def test_damaged_frame_names_the_view(ends: tuple[Connection, Connection]) -> None:
    aggregator, sensor = ends
    head, payload = encode(Message(Kind.TENSOR, KEY, frame=3, array=np.ones((1, 100), np.uint8)))
    sensor.socket.sendall(head + b"\x07" + bytes(payload[1:]))
    with pytest.raises(LinkError, match="view 0: frame 3 of view 0: payload CRC-32"):
        aggregator.receive()


def test_sensor_of_the_same_bundle_is_welcome(ends: tuple[Connection, Connection]) -> None:
    aggregator, sensor = ends
    sensor.send(Message(Kind.HELLO, KEY, 1))
    assert _admit(aggregator, KEY, 2, {}) == 1
    assert sensor.receive().kind == Kind.WELCOME


def test_both_ids_are_named_where_bundles_differ(ends: tuple[Connection, Connection]) -> None:
    aggregator, sensor = ends
    sensor.send(Message(Kind.HELLO, OTHER, 0))
    with pytest.raises(LinkError, match=f"view 0 runs bundle {OTHER.hex()}, this aggregator bundle {KEY.hex()}"):
        _admit(aggregator, KEY, 1, {})
    # What the sensor reads is the aggregator's refusal; its own greeting comes from another connection's buffer.
    answer = sensor.receive()
    assert answer.kind == Kind.REFUSE
    assert answer.bundle == KEY


def test_sensor_names_both_ids_as_well(ends: tuple[Connection, Connection]) -> None:
    aggregator, sensor = ends
    aggregator.send(Message(Kind.REFUSE, KEY))
    with pytest.raises(LinkError, match=f"the aggregator runs bundle {KEY.hex()}, this sensor bundle {OTHER.hex()}"):
        _greet(sensor, OTHER, 0)


@pytest.mark.parametrize(("view", "taken", "message"), [(0, {0: None}, "connected already"), (2, {}, "does not exist")])
def test_view_connects_once(
    ends: tuple[Connection, Connection], view: int, taken: dict[int, None], message: str
) -> None:
    aggregator, sensor = ends
    sensor.send(Message(Kind.HELLO, KEY, view))
    with pytest.raises(LinkError, match=f"view {view} .*{message}"):
        _admit(aggregator, KEY, 2, taken)


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(
        LinkError, match=rf"127\.0\.0\.1:{port}: cannot connect to the aggregator: .*start the aggregator"
    ):
        Connection.to("127.0.0.1", port, "the aggregator", 0.3)
