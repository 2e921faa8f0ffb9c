import socket
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from splitkit.errors import LinkError
from splitkit.profiles.schema import LinkProfile
from splitkit.runtime.aggregator import _receive
from splitkit.runtime.allowance import MULTIPLE, Allowance
from splitkit.runtime.connection import PROGRESS_BYTES, Connection
from splitkit.runtime.sensor import _greet, _serve
from splitkit.runtime.shaper import ShapedLink
from splitkit.runtime.stage import Stage
from splitkit.runtime.wire import Kind, Message, TensorType, encode
from tests.runtime.peers import IMPATIENT, IPV6, KEY, LINK, OTHER, SOON

SHORT_S = 0.3
Ends = tuple[Connection, Connection]


@pytest.fixture
def ends() -> Iterator[Ends]:
    """The aggregator's and the sensor's end of one TCP connection; both soon lose patience."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        sensor = Connection.to("127.0.0.1", server.getsockname()[1], "the aggregator", Allowance(SHORT_S), IMPATIENT)
        peer, _ = server.accept()
    aggregator = Connection(peer, "view 0", SHORT_S, IMPATIENT)
    aggregator.carries = LINK
    yield aggregator, sensor
    aggregator.close()
    sensor.close()


def a_frame(frame: int = 3, view: int = 0, key: bytes = KEY) -> Message:
    return Message(Kind.TENSOR, key, view, frame, np.ones(LINK.shape, LINK.dtype))


def test_large_tensor_arrives_in_pieces(ends: Ends) -> None:
    aggregator, sensor = ends
    aggregator.silence_s = sensor.silence_s = 20.0
    array = np.arange(5_000_000, dtype=np.float32).reshape(1, -1)  # more than both ends' buffers hold
    aggregator.carries = TensorType("float32", array.shape)
    sending = threading.Thread(target=sensor.send, args=(Message(Kind.TENSOR, KEY, frame=4, array=array),))
    sending.start()
    got = aggregator.receive()
    sending.join()
    assert got.frame == 4
    np.testing.assert_array_equal(got.array, array)


def test_peer_gone_between_messages(ends: Ends) -> None:
    aggregator, sensor = ends
    sensor.close()
    with pytest.raises(LinkError, match=r"^view 0: closed the connection$"):
        aggregator.receive()


def test_peer_gone_in_the_middle_of_a_frame(ends: Ends) -> None:
    aggregator, sensor = ends
    head, payload = encode(a_frame())
    sensor.socket.sendall(head + bytes(payload[:40]))
    sensor.close()
    with pytest.raises(LinkError, match="view 0: closed the connection in the middle of frame 3, after 40 of 100"):
        aggregator.receive()


def test_silent_peer(ends: Ends) -> None:
    with pytest.raises(LinkError, match=r"view 0: silent for 0\.3 s"):
        ends[0].receive()


def test_peer_that_takes_nothing_is_named(ends: Ends) -> None:
    """The other end's buffers are full, and it does not read."""
    started = time.monotonic()
    with pytest.raises(LinkError, match=r"the aggregator: took nothing for 0\.3 s \(\d+ of 50000000 bytes\)"):
        ends[1].sendall(memoryview(bytes(50_000_000)))
    assert time.monotonic() - started < 20 * SHORT_S


def test_peer_that_dribbles_is_silent(ends: Ends) -> None:
    """Single bytes are no progress, or a message could take for ever."""
    aggregator, sensor = ends
    stop = threading.Event()

    def dribble() -> None:
        head, payload = encode(a_frame())
        for byte in head + bytes(payload):
            if stop.wait(SHORT_S / 10):
                return
            sensor.socket.send(bytes([byte]))

    thread = threading.Thread(target=dribble)
    thread.start()
    try:
        with pytest.raises(LinkError, match=r"view 0: silent for 0\.3 s while a header was due"):
            aggregator.receive()
    finally:
        stop.set()
        thread.join()


def test_peer_that_makes_progress_is_not_silent_however_long_it_takes(ends: Ends) -> None:
    aggregator, sensor = ends
    array = np.arange(6 * PROGRESS_BYTES, dtype=np.uint8)
    aggregator.carries = TensorType("uint8", array.shape)
    aggregator.silence_s = 1.5

    def send_slowly() -> None:
        head, payload = encode(Message(Kind.TENSOR, KEY, array=array))
        sensor.sendall(head)
        for first in range(0, len(payload), PROGRESS_BYTES):
            time.sleep(0.5)
            sensor.sendall(payload[first : first + PROGRESS_BYTES])

    thread = threading.Thread(target=send_slowly)
    started = time.monotonic()
    thread.start()
    got = aggregator.receive()
    thread.join()
    assert time.monotonic() - started > 1.5 * aggregator.silence_s
    np.testing.assert_array_equal(got.array, array)


def test_allowance_is_a_multiple_of_what_the_link_takes() -> None:
    radio = LinkProfile(name="radio", bandwidth_bytes_per_s=40, overhead_us=1e6)
    one, shared = Allowance.of(radio, 400, 4, 30.0), radio.model_copy(update={"shared": True})
    assert MULTIPLE == 4
    assert one.silence_s == pytest.approx(30 + MULTIPLE * (1 + 468 / 40))
    assert Allowance.of(shared, 400, 4, 30.0).silence_s == pytest.approx(30 + MULTIPLE * 4 * (1 + 468 / 40))
    assert Allowance.of(radio, 400, 4, 0.1).greeting_s > 8192 / 40  # room for a TLS handshake


def test_a_radio_of_40_bytes_per_second_works(ends: Ends) -> None:
    """100 bytes take 2.5 s at this rate, and leave as one burst when the last is due: far beyond the timeout."""
    aggregator, sensor = ends
    radio = LinkProfile(name="radio", bandwidth_bytes_per_s=40)
    aggregator.silence_s = Allowance.of(radio, LINK.bytes, 1, SHORT_S).silence_s
    shaped = ShapedLink(radio, patience=IMPATIENT)
    thread = threading.Thread(target=shaped.send, args=(sensor, *encode(a_frame())))
    started = time.monotonic()
    thread.start()
    assert aggregator.receive().frame == 3
    thread.join()
    assert time.monotonic() - started > 2.4


def test_damaged_frame_names_the_view(ends: Ends) -> None:
    aggregator, sensor = ends
    head, payload = encode(a_frame())
    sensor.socket.sendall(head + b"\x07" + bytes(payload[1:]))
    with pytest.raises(LinkError, match="view 0: frame 3 of view 0: payload CRC-32"):
        aggregator.receive()


@pytest.mark.parametrize(
    "message",
    [
        Message(Kind.TENSOR, KEY, 0, 3, np.zeros((100, 1), np.uint8)),
        Message(Kind.TENSOR, KEY, 0, 3, np.zeros((1, 25), np.float32)),
        Message(Kind.TENSOR, KEY, 0, 3, np.zeros((1, 10_000_000), np.uint8)),
    ],
    ids=["shape", "dtype", "size"],
)
def test_another_tensor_than_the_bundles_is_refused_by_its_header_alone(ends: Ends, message: Message) -> None:
    aggregator, sensor = ends
    sensor.socket.sendall(encode(message)[0])  # no payload follows: nothing may wait for it, or make room
    with pytest.raises(LinkError, match=r"view 0: sent .* the bundle's link carries uint8 \[1, 100\]"):
        aggregator.receive()


def test_aggregators_send_no_tensors(ends: Ends) -> None:
    ends[0].send(a_frame())
    with pytest.raises(LinkError, match=r"the aggregator: sent uint8 \[1, 100\], the bundle's link carries no tensor"):
        ends[1].receive()


@pytest.mark.parametrize(
    ("message", "line"),
    [
        (a_frame(frame=4), "view 0: sent TENSOR 4 of view 0 where frame 3 was due"),
        (a_frame(view=1), "view 0: sent TENSOR 3 of view 1 where frame 3 was due"),
        (a_frame(key=OTHER), "view 0: sent a frame of another bundle"),
        (Message(Kind.HELLO, KEY, 0, 3), "view 0: sent HELLO 3 of view 0 where frame 3 was due"),
    ],
)
def test_a_frame_is_of_this_bundle_and_view_and_the_one_that_was_due(ends: Ends, message: Message, line: str) -> None:
    aggregator, sensor = ends
    sensor.send(message)
    with pytest.raises(LinkError, match=line):
        _receive(aggregator, 0, 3, KEY)


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (Message(Kind.REFUSE, OTHER, 0), f"the aggregator runs bundle {OTHER.hex()}, this sensor bundle {KEY.hex()}"),
        (Message(Kind.WELCOME, OTHER, 0), f"the aggregator runs bundle {OTHER.hex()}"),
        (Message(Kind.REFUSE, KEY, 0), "the aggregator refuses view 0"),
        (Message(Kind.WELCOME, KEY, 1), "the aggregator sent WELCOME for view 1 where WELCOME was due"),
        (Message(Kind.CAPTURE, KEY, 0), "the aggregator sent CAPTURE for view 0 where WELCOME was due"),
    ],
)
def test_a_sensor_is_welcome_to_its_own_bundle_as_its_own_view(ends: Ends, answer: Message, line: str) -> None:
    aggregator, sensor = ends
    aggregator.send(answer)
    with pytest.raises(LinkError, match=line):
        _greet(sensor, KEY, 0)


@pytest.mark.parametrize(
    ("order", "line"),
    [
        (Message(Kind.CAPTURE, OTHER, 0), "an order for another bundle"),
        (Message(Kind.END, OTHER, 0), "an order for another bundle"),
        (Message(Kind.CAPTURE, KEY, 1), "sent CAPTURE for view 1 where CAPTURE or END was due"),
        (Message(Kind.WELCOME, KEY, 0), "sent WELCOME for view 0 where CAPTURE or END was due"),
    ],
)
def test_a_sensor_takes_orders_of_its_own_bundle_for_its_own_view(ends: Ends, order: Message, line: str) -> None:
    aggregator, sensor = ends
    aggregator.send(order)
    stage = Stage(None, (), "", 1.0, None, "nothing to compute", IMPATIENT)
    shaped = ShapedLink(LinkProfile(name="test", bandwidth_bytes_per_s=1e9), patience=IMPATIENT)
    with pytest.raises(LinkError, match=line):
        _serve(sensor, stage, shaped, np.zeros((1, 100), np.uint8), Message(Kind.TENSOR, KEY, 0))


@pytest.mark.parametrize("host", ["127.0.0.1", pytest.param("::1", marks=IPV6)])
def test_nobody_listens(host: str) -> None:
    with socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET) as server:
        port = server.getsockname()[1]
    where = rf"\[::1\]:{port}" if ":" in host else rf"127\.0\.0\.1:{port}"
    with pytest.raises(LinkError, match=rf"^{where}: cannot connect to the aggregator: .*start the aggregator"):
        Connection.to(host, port, "the aggregator", SOON)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a..b", "x" * 70])
def test_a_host_that_does_not_exist_is_one_line(host: str) -> None:
    with pytest.raises(LinkError, match="cannot connect to the aggregator: ") as caught:
        Connection.to(host, 4747, "the aggregator", SOON)
    assert "\n" not in str(caught.value)
