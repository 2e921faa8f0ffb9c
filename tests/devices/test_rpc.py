"""Device kind `rpc`: real TVM servers on the loopback interface."""

import re
import socket
import sqlite3
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from benchmarks.loopback_boards import Farm, Process, farm
from splitkit.bench.measure import compile_for, time_artifact
from splitkit.bench.networks import build_from_space
from splitkit.bench.progress import BuildProgress
from splitkit.devices import BoardPool, get_device
from splitkit.devices.rpc import tracker
from splitkit.devices.rpc.options import RpcOptions
from splitkit.errors import ConfigError, DeviceError
from splitkit.exporters.protocol import Artifact
from splitkit.graphs.graph import RenderedGraph
from splitkit.latency.store import LutStore
from splitkit.profiles import load_device, load_link
from splitkit.profiles.schema import DeviceProfile, System
from splitkit.space import describe, load_space
from tests.runtime.peers import playing

SPACE = load_space("tiny")


@pytest.fixture(scope="module")
def two_boards(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    with farm(tmp_path_factory.mktemp("farm"), 2) as made:
        yield made


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    operators = describe(SPACE, SPACE.largest(4)).operators("aggregator")
    return compile_for(
        get_device(load_device("host")), "tvm", RenderedGraph(tuple(operators)), tmp_path_factory.mktemp("network")
    )


def system(profile: DeviceProfile) -> System:
    return System(name="farm", sensor=profile, link=load_link("spi"), aggregator=load_device("ar-soc"))


def addresses(process: Process) -> set[str]:
    parent = psutil.Process(process._process.pid)
    return {
        connection.laddr.ip
        for child in (parent, *parent.children(recursive=True))
        for connection in child.net_connections()
        if connection.status == psutil.CONN_LISTEN
    }


def pool_of(profile: DeviceProfile) -> BoardPool:
    pool = get_device(profile).pool
    assert pool is not None
    return pool


def test_servers_started_as_documented_listen_on_the_loopback_interface_only(two_boards: Farm) -> None:
    for process in (two_boards._tracker, *two_boards.boards):
        assert addresses(process) == {"127.0.0.1"}


def test_a_board_computes_and_times_what_this_machine_does(two_boards: Farm, network: Artifact) -> None:
    host, board = get_device(load_device("host")), get_device(two_boards.profile())
    inputs = {t.name: np.random.default_rng(0).uniform(0, 1, t.shape).astype(t.dtype) for t in network.inputs}
    expected, found = host.open(network).run(inputs), board.open(network).run(inputs)
    for name, values in expected.items():
        assert np.abs(values).max() > 1e-3
        np.testing.assert_array_equal(found[name], values)
    timed = time_artifact(network, board)
    assert timed.total > 0
    assert len(timed.kernel_times) == len(network.kernels)
    assert timed.kernel_sum == pytest.approx(timed.total, rel=0.5)
    assert board.label() == "measured"
    assert board.pool is not None
    board.pool.close()


def test_the_fingerprint_is_the_boards_and_a_stated_one_is_checked(two_boards: Farm) -> None:
    profile = two_boards.profile()
    asked = get_device(profile).fingerprint()
    processor = asked.removeprefix("rpc: ").split(";")[0]
    stated = profile.model_copy(update={"options": {**profile.options, "processor": processor}})
    assert get_device(stated).fingerprint() == asked
    offline = {"host": "127.0.0.1", "port": 1, "processor": processor}
    assert get_device(profile.model_copy(update={"options": offline})).fingerprint() == asked  # nobody is asked
    other = profile.model_copy(update={"options": {**profile.options, "processor": "cortex-a72"}})
    device = pool_of(other)
    with pytest.raises(DeviceError, match=r"board 127.0.0.1:\d+: its processor is .*cortex-a72"):
        device.lease()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "either host and port, or tracker and key"),
        ({"host": "127.0.0.1"}, "port: is missing"),
        ({"tracker": "127.0.0.1"}, "key: is missing"),
        ({"tracker": "a:b:c", "key": "x"}, "options.tracker: .*'a:b:c' is not HOST, HOST:PORT"),
        ({"tracker": "a:99999", "key": "x"}, "options.tracker: .*port 99999 does not exist"),
        ({"tracker": "a:²", "key": "x"}, "options.tracker"),
        ({"host": "a:9090", "port": 9090}, "options.host: .*is not a host alone"),
        ({"host": "127.0.0.1", "port": 0}, "options.port"),
        ({"host": "127.0.0.1", "port": 9090, "baud": 1}, "options.baud: unknown key"),
    ],
)
def test_options_that_cannot_be_used_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        get_device(DeviceProfile(name="b", kind="rpc", options=options))


def test_a_board_or_tracker_that_is_not_there_is_one_line() -> None:
    device = pool_of(DeviceProfile(name="b", kind="rpc", options={"host": "127.0.0.1", "port": 1}))
    with pytest.raises(DeviceError, match=r"board 127.0.0.1:1: connecting: ") as caught:
        device.lease()
    assert "\n" not in str(caught.value)
    device = pool_of(DeviceProfile(name="b", kind="rpc", options={"tracker": "127.0.0.1:1", "key": "x"}))
    with pytest.raises(DeviceError, match=r"tracker 127.0.0.1:1: cannot be reached"):
        device.boards()


def test_addresses_of_both_versions_are_understood() -> None:
    device = pool_of(DeviceProfile(name="b", kind="rpc", options={"host": "::1", "port": 1}))
    with pytest.raises(DeviceError, match=r"board \[::1\]:1: connecting: "):
        device.lease()
    for text, expected in (("::1", ("::1", 9190)), ("[::1]:9", ("::1", 9)), ("farm", ("farm", 9190))):
        assert RpcOptions(tracker=text, key="x").tracker_address == expected


MAGIC = struct.pack("<i", 0x2F271)


def packed(text: bytes) -> bytes:
    return MAGIC + struct.pack("<i", len(text)) + text


NONSENSE = {
    "another protocol": b"SSH-2.0-OpenSSH_9.2\r\n",
    "negative length": MAGIC + struct.pack("<i", -1),
    "two gigabytes": MAGIC + struct.pack("<i", 2**31 - 1) + bytes(1000),
    "no JSON": packed(b"\xff\xfe" * 20),
    "another form": packed(b'{"a": 1}'),
    "no boards": packed(b'[0, {"server_info": [{"addr": 7}]}]'),
    "deeply nested": packed(b"[" * 200_000),
    "a number beyond any port": packed(b'[0, ["h", 1e400, "k"]]'),
    "closed": MAGIC,
}


@pytest.mark.parametrize("question", [tracker.boards, tracker.request])
@pytest.mark.parametrize("answer", NONSENSE)
def test_a_tracker_that_answers_nonsense_ends_in_one_line(answer: str, question: Callable[..., object]) -> None:
    def answer_it(peer: socket.socket) -> None:
        peer.sendall(NONSENSE[answer])
        peer.shutdown(socket.SHUT_WR)

    with playing(answer_it) as port, pytest.raises(DeviceError) as caught:
        question(("127.0.0.1", port), "key", 5.0)
    assert str(caught.value).startswith(f"tracker 127.0.0.1:{port}: ")
    assert "\n" not in str(caught.value)


def test_a_tracker_that_answers_a_byte_at_a_time_is_given_up_in_time() -> None:
    def dribble(peer: socket.socket) -> None:
        for byte in packed(b" " * 1000):
            peer.sendall(bytes([byte]))
            time.sleep(0.05)

    started = time.monotonic()
    with playing(dribble) as port, pytest.raises(DeviceError, match=r"no answer within 0\.5 s"):
        tracker.boards(("127.0.0.1", port), "key", 0.5)
    assert time.monotonic() - started < 3


def rows(path: Path) -> dict[str, int]:
    database = sqlite3.connect(path)
    count = "SELECT COUNT(*), COUNT(DISTINCT {}) FROM {}"
    return {
        "kernels": database.execute(count.format("kernel", "measurements")).fetchone(),
        "graphs": database.execute(count.format("digest", "graphs")).fetchone(),
    }


@pytest.mark.slow
def test_a_table_survives_a_board_that_is_killed_and_one_that_hangs(tmp_path: Path) -> None:
    """Struck in the middle of a measurement: the networks under way are measured elsewhere, once."""
    with farm(tmp_path, 4) as boards:
        victims = [lambda: boards.boards[0].kill(), lambda: boards.boards[1].hang()]

        def strike(state: BuildProgress) -> None:
            if victims and state.networks >= 2:
                victims.pop()()

        store = LutStore(tmp_path / "lut.db")
        report = build_from_space(
            store, SPACE, system(boards.profile(timeout_s=5.0)), "sensor", networks=12, progress=strike
        )
        assert not victims
        assert report.networks == 12
        left = {board.name for board in boards.boards[2:]}
        assert left <= set(report.boards)
        assert sum(report.boards.values()) == 12
    found = rows(tmp_path / "lut.db")
    assert found["graphs"] == (12, 12)
    assert found["kernels"][0] == found["kernels"][1] == report.measured
    database = sqlite3.connect(tmp_path / "lut.db")
    digests = [row[0] for row in database.execute("SELECT digest FROM graphs")]
    assert all(digest.endswith(" sensor") for digest in digests)


@pytest.mark.slow
def test_a_board_that_lies_is_left_out_and_its_rows_are_dropped(tmp_path: Path) -> None:
    boards = Farm(tmp_path)
    try:
        liar = boards.add(lying=True)
        for _ in range(2):
            boards.add()
        boards.wait()
        store = LutStore(tmp_path / "lut.db")
        report = build_from_space(store, SPACE, system(boards.profile()), "sensor", networks=6)
        assert set(report.left_out) == {liar_name(liar, boards)}
        factor = re.match(r"times kernels (\d\.\d+) times as long as the others", *report.left_out.values())
        assert factor
        assert float(factor[1]) > 2
        assert not set(report.left_out) & set(report.boards)
        assert report.networks == sum(report.boards.values()) == 6
        honest = LutStore(tmp_path / "honest.db")
        liar.kill()
        time.sleep(1)
        build_from_space(honest, SPACE, system(boards.profile()), "sensor", networks=6)
    finally:
        boards.stop()
    theirs, ours = (
        {key: us for conditions, _ in s.all_conditions() for key, us in s.values(s.condition(conditions)).items()}
        for s in (store, honest)
    )
    ratios = [theirs[key] / ours[key] for key in theirs.keys() & ours.keys()]
    assert len(ratios) > 10
    assert np.median(ratios) == pytest.approx(1.0, abs=0.3)
    assert np.quantile(ratios, 0.9) < 2


def liar_name(liar: Process, boards: Farm) -> str:
    honest = {board.name for board in boards.boards if board is not liar}
    return next(name for name in tracker.boards(boards.address, "board", 10.0) if name not in honest)
