import socket
import threading
from pathlib import Path

import pytest

from splitkit.profiles import LinkProfile
from splitkit.runtime.clock import OWN_PROCESSOR, SHARED_PROCESSOR, Patience, now_ns
from splitkit.runtime.shaper import BURST_BYTES, ShapedLink, SharedLink


def link(bandwidth: float, overhead_us: float, shared: bool = False) -> LinkProfile:
    return LinkProfile(name="test", bandwidth_bytes_per_s=bandwidth, overhead_us=overhead_us, shared=shared)


def transfer_us(shaped: ShapedLink, payload: bytes) -> float:
    """From ready to the arrival of the last byte."""
    ours, theirs = socket.socketpair()
    arrived: list[int] = []

    def receive() -> None:
        left = len(payload) + 4
        while left:
            left -= len(theirs.recv(left))
        arrived.append(now_ns())

    receiver = threading.Thread(target=receive)
    receiver.start()
    start = now_ns()
    shaped.send(ours, b"head", memoryview(payload), start)
    receiver.join()
    ours.close()
    theirs.close()
    return (arrived[0] - start) / 1e3


@pytest.mark.parametrize("size", [1, 700, BURST_BYTES, 3 * BURST_BYTES + 17])
@pytest.mark.parametrize("patience", [OWN_PROCESSOR, SHARED_PROCESSOR])
def test_transfer_takes_overhead_and_bytes_over_bandwidth(size: int, patience: Patience) -> None:
    profile = link(2e6, 300)
    shaped = ShapedLink(profile, patience=patience)
    times = [transfer_us(shaped, bytes(size)) for _ in range(12)]
    expected = profile.latency_us(size)
    assert min(times) >= expected
    assert min(times) <= 1.25 * expected + 100  # the machine may be busy, but not every time


def test_bytes_do_not_leave_early() -> None:
    """Seen where they leave: a receiver that was not scheduled for a while reads many bursts as one."""
    left: list[tuple[int, int]] = []

    class Recorder:
        def sendall(self, data: bytes | memoryview, /) -> None:
            left.append((now_ns(), len(data)))

    start = now_ns()
    ShapedLink(link(1e6, 0)).send(Recorder(), b"head", memoryview(bytes(4 * BURST_BYTES)), start)
    (_, header), *bursts = left
    assert header == 4
    assert [size for _, size in bursts] == [BURST_BYTES] * 4
    gone = 0
    for at, size in bursts:
        gone += size
        assert gone <= (at - start) / 1e3  # 1 byte per us


def test_shared_link_carries_one_transfer_after_the_other(tmp_path: Path) -> None:
    with SharedLink(tmp_path / "link") as first, SharedLink(tmp_path / "link") as second:
        begin = now_ns()
        starts = [user.reserve(begin, 1_000_000) for user in (first, second, first)]
        assert starts == [begin, begin + 1_000_000, begin + 2_000_000]
        later = begin + 10_000_000
        assert second.reserve(later, 5) == later


def test_sensors_on_a_shared_link_wait_for_each_other(tmp_path: Path) -> None:
    profile = link(1e6, 100, shared=True)
    ready = now_ns()
    pairs = [socket.socketpair() for _ in range(2)]
    ends: list[int] = []

    def send(ours: socket.socket) -> None:
        with SharedLink(tmp_path / "link") as shared:
            ShapedLink(profile, shared).send(ours, b"head", memoryview(bytes(3000)), ready)
            ends.append(now_ns())

    threads = [threading.Thread(target=send, args=(ours,)) for ours, _ in pairs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for pair in pairs:
        for end in pair:
            end.close()
    assert (max(ends) - ready) / 1e3 >= profile.latency_us(3000.0, views=2)
    assert (min(ends) - ready) / 1e3 >= profile.latency_us(3000.0, views=1)
