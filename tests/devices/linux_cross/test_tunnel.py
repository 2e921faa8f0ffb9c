"""The C++ runner behind stunnel, as docs/wire.md describes it, with the certificates of `splitkit keys`."""

import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from splitkit.bundle import Bundle
from splitkit.keys import write_keys
from splitkit.runtime.aggregator import run_aggregator
from splitkit.runtime.tls import Credentials
from tests.devices.linux_cross.peers import VIEWS, Peer, aarch64_bundle, images_file

pytestmark = [
    pytest.mark.toolchain,
    pytest.mark.skipif(shutil.which("stunnel") is None, reason="stunnel is not installed: apt-get install stunnel4"),
]
DOCUMENTATION = Path(__file__).parents[3] / "docs" / "wire.md"


@pytest.fixture
def bundle(needs: Callable[..., None]) -> Bundle:
    needs("qemu-aarch64-static")
    return aarch64_bundle()


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("keys")
    write_keys(directory)
    return directory


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextmanager
def tunnel(side: str, keys: Path, accept: int, connect: int) -> Iterator[None]:
    """stunnel with the configuration that the documentation gives for one side, on this machine's ports."""
    (text,) = re.findall(rf"```ini\n; on the {side}\n(.*?)```", DOCUMENTATION.read_text(), re.DOTALL)
    text = re.sub(r"accept = .*", f"accept = 127.0.0.1:{accept}", text)
    text = re.sub(r"connect = .*", f"connect = 127.0.0.1:{connect}", text)
    (keys / f"{side}.conf").write_text(text)
    log = (keys / f"{side}.log").open("w")
    process = subprocess.Popen(["stunnel", f"{side}.conf"], cwd=keys, stdout=log, stderr=log)
    try:
        for _ in range(200):
            if "Configuration successful" in (keys / f"{side}.log").read_text():
                break
            assert process.poll() is None, (keys / f"{side}.log").read_text()
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(10)
        log.close()


def credentials(keys: Path, role: str) -> Credentials:
    return Credentials(keys / f"{role}.pem", keys / f"{role}.key", keys / "ca.pem")


def test_cpp_sensors_reach_a_python_aggregator_in_tls(bundle: Bundle, keys: Path, tmp_path: Path) -> None:
    with ExitStack() as started:
        sensors: list[Peer] = []

        def start(port: int) -> None:
            plain = free_port()
            started.enter_context(tunnel("sensor", keys, accept=plain, connect=port))
            for view in range(VIEWS):
                images = images_file(bundle, view, tmp_path / f"view{view}")
                where = ("--connect", f"127.0.0.1:{plain}", "--view", str(view), "--images", str(images))
                sensors.append(started.enter_context(Peer(bundle, "sensor", *where)))

        own = credentials(keys, "aggregator")
        assert len(run_aggregator(bundle, ("0.0.0.0", 0), 5, start, credentials=own)) == 5
        assert [sensor.end() for sensor in sensors] == [(0, "")] * VIEWS


def test_cpp_on_both_sides_and_strangers_get_no_further_than_the_tunnel(
    bundle: Bundle, keys: Path, tmp_path: Path
) -> None:
    with Peer(bundle, "aggregator", "--listen", "127.0.0.1:0", "--frames", "5") as aggregator, ExitStack() as started:
        public, plain = free_port(), free_port()
        started.enter_context(tunnel("aggregator", keys, accept=public, connect=aggregator.port()))
        bare = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        bare.check_hostname, bare.verify_mode = False, ssl.CERT_NONE
        for context in (bare, credentials(keys, "sensor").client()):
            if context is not bare:
                context.load_cert_chain(keys / "aggregator.pem", keys / "aggregator.key")  # not a sensor's
            with socket.create_connection(("127.0.0.1", public)) as peer:
                refused = context.wrap_socket(peer)
                with pytest.raises((ssl.SSLError, ConnectionError)):
                    refused.recv(1)
                refused.close()
        started.enter_context(tunnel("sensor", keys, accept=plain, connect=public))
        for view in range(VIEWS):
            images = images_file(bundle, view, tmp_path / f"view{view}")
            where = ("--connect", f"127.0.0.1:{plain}", "--view", str(view), "--images", str(images))
            started.enter_context(Peer(bundle, "sensor", *where))
        assert aggregator.end() == (0, "")
