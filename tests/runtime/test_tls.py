"""Mutual TLS between the two programs: who is let in, who is not, and that timeouts and messages are as without it."""

import os
import re
import socket
import ssl
import struct
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from splitkit.errors import ConfigError, LinkError
from splitkit.keys import write_keys
from splitkit.runtime.admission import Gathering, Terms, listen
from splitkit.runtime.allowance import GREETING_BYTES, Allowance
from splitkit.runtime.connection import Connection
from splitkit.runtime.sensor import _greet
from splitkit.runtime.tls import Credentials
from splitkit.runtime.wire import Kind, Message, TensorType
from tests.bundle.bundles import exported
from tests.runtime.peers import IMPATIENT, KEY, LINK, SOON, Aggregator, playing


def credentials(keys: Path, role: str) -> Credentials:
    return Credentials(keys / f"{role}.pem", keys / f"{role}.key", keys / "ca.pem")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("keys")
    write_keys(directory)
    return directory


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another system's keys."""
    directory = tmp_path_factory.mktemp("foreign")
    write_keys(directory)
    return directory


def test_messages_pass_in_tls(keys: Path) -> None:
    array = np.arange(3_000_000, dtype=np.uint8).reshape(1, -1)
    with Aggregator(credentials=credentials(keys, "aggregator")) as aggregator:
        sensor = aggregator.sensor(credentials(keys, "sensor"))
        assert isinstance(sensor.socket, ssl.SSLSocket)
        assert sensor.socket.version() == "TLSv1.3"
        _greet(sensor, KEY, 0)
        aggregator.wait()
        (peer,) = aggregator.sensors
        peer.carries = TensorType("uint8", array.shape)
        sending = threading.Thread(target=sensor.send, args=(Message(Kind.TENSOR, KEY, array=array),))
        sending.start()
        np.testing.assert_array_equal(peer.receive().array, array)
        sending.join()
        peer.send(Message(Kind.END, KEY))
        assert sensor.receive().kind == Kind.END
        sensor.close()
        with pytest.raises(LinkError, match=r"^view 0: closed the connection$"):
            peer.receive()
    assert aggregator.lines == []


def refused(aggregator: Aggregator, given: Credentials) -> str:
    """What a sensor with these credentials is told."""

    def greet() -> None:
        _greet(aggregator.sensor(given), KEY, 0)

    with pytest.raises(LinkError) as caught:
        greet()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_only_this_systems_sensors_are_let_in(keys: Path, foreign: Path) -> None:
    stranger = replace(credentials(foreign, "sensor"), authority=keys / "ca.pem")  # trusts us, but we not it
    with Aggregator(credentials=credentials(keys, "aggregator")) as aggregator:
        for given in (stranger, credentials(keys, "aggregator")):
            # Which of these depends on whether our greeting was under way when the other side hung up.
            assert re.search("alert|ended the TLS connection|reset|Broken pipe", refused(aggregator, given))
        with socket.create_connection(("127.0.0.1", aggregator.port)) as peer:
            context = credentials(keys, "sensor").client()
            bare = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            bare.check_hostname, bare.verify_mode = False, ssl.CERT_NONE
            with pytest.raises(ssl.SSLError, match="CERTIFICATE_REQUIRED"), bare.wrap_socket(peer) as shown_nothing:
                shown_nothing.recv(1)
        plain = aggregator.sensor()
        with pytest.raises(LinkError, match="the aggregator's own output says why"):
            _greet(plain, KEY, 0)
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode, old.maximum_version = False, ssl.CERT_NONE, ssl.TLSVersion.TLSv1_2
        with socket.create_connection(("127.0.0.1", aggregator.port)) as peer, pytest.raises(ssl.SSLError):
            old.wrap_socket(peer)
        sensor = Connection.to("127.0.0.1", aggregator.port, "the aggregator", SOON, IMPATIENT, context)
        _greet(sensor, KEY, 0)
    assert len(aggregator.sensors) == 1
    assert len(aggregator.lines) == 5
    assert all(" was turned away: no TLS connection: " in line for line in aggregator.lines)
    sensor.close()
    plain.close()


def test_a_sensor_talks_to_no_other_aggregator(keys: Path, foreign: Path) -> None:
    given = credentials(keys, "sensor")
    impostors = [credentials(foreign, "aggregator"), given]  # another system's, and a sensor that plays aggregator
    for impostor in impostors:
        with Aggregator(credentials=replace(impostor, authority=keys / "ca.pem"), timeout_s=1.0) as aggregator:
            assert "its certificate is not valid: " in refused(aggregator, given)
        assert "did not connect within 1 s" in str(aggregator.error)


def test_a_sensor_in_tls_notices_that_the_other_side_has_none(keys: Path) -> None:
    with Aggregator(timeout_s=1.0) as aggregator:
        assert "no TLS connection with the aggregator: " in refused(aggregator, credentials(keys, "sensor"))
    assert aggregator.lines[0].endswith(
        "was turned away: speaks TLS, and this aggregator was started without --tls-cert"
    )


def test_silent_peers_hold_up_nobody_in_tls_either(keys: Path) -> None:
    with Aggregator(credentials=credentials(keys, "aggregator"), allowance=Allowance(5.0, 1.0)) as aggregator:
        silent = [aggregator.stranger() for _ in range(3)]
        silent[0].sendall(b"\x16\x03\x01\x02\x00\x01")
        sensor = aggregator.sensor(credentials(keys, "sensor"))
        _greet(sensor, KEY, 0)
    for peer in (*silent, sensor.socket):
        peer.close()
    assert len(aggregator.sensors) == 1


def test_a_peer_that_is_gone_before_it_is_accepted_is_turned_away(keys: Path) -> None:
    """Reset with its bytes unread, as a port scanner leaves; Python refuses to begin TLS on such a connection."""
    own = credentials(keys, "aggregator")
    terms = Terms(KEY, 1, LINK, SOON, 10.0, IMPATIENT, own.server())
    lines: list[str] = []
    with listen("127.0.0.1", 0, protected=True) as server:
        for sent in (b"", b"x", b"\x16\x03\x01"):
            with socket.create_connection(server.getsockname()) as peer:
                peer.sendall(sent)
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with Gathering(server, terms, lines.append) as gathering:
            thread = threading.Thread(target=gathering.wait)
            thread.start()
            tls = credentials(keys, "sensor").client()
            sensor = Connection.to("127.0.0.1", server.getsockname()[1], "the aggregator", SOON, IMPATIENT, tls)
            _greet(sensor, KEY, 0)
            thread.join(20)
            assert list(gathering.sensors) == [0]
    assert all(" was turned away: no TLS connection: " in line for line in lines)
    sensor.close()


def test_a_stalled_peer_is_named_in_tls(keys: Path) -> None:
    with Aggregator(credentials=credentials(keys, "aggregator"), allowance=Allowance(0.3, 5.0)) as aggregator:
        sensor = aggregator.sensor(credentials(keys, "sensor"))
        _greet(sensor, KEY, 0)
        aggregator.wait()
        (peer,) = aggregator.sensors
        with pytest.raises(LinkError, match=r"view 0: silent for 0\.3 s while a header was due"):
            peer.receive()
        with pytest.raises(LinkError, match=r"view 0: took nothing for 0\.3 s"):
            peer.sendall(bytes(50_000_000))
    sensor.close()


def test_a_server_that_never_finishes_the_handshake_is_given_up(keys: Path) -> None:
    def stay_silent(peer: socket.socket) -> None:
        while peer.recv(1000):
            pass

    tls = credentials(keys, "sensor").client()
    with playing(stay_silent) as port, pytest.raises(LinkError, match=r"no TLS connection with .*: .*timed out"):
        Connection.to("127.0.0.1", port, "the aggregator", Allowance(0.3, 0.3), IMPATIENT, tls)


def test_a_greeting_fits_into_what_it_is_allowed_for(keys: Path) -> None:
    """Bytes of a handshake with both certificates and of the greeting, both ways together."""
    ends = [ssl.MemoryBIO() for _ in range(4)]
    client = credentials(keys, "sensor").client().wrap_bio(ends[0], ends[1])
    server = credentials(keys, "aggregator").server().wrap_bio(ends[2], ends[3], server_side=True)
    total = 0
    for _ in range(4):
        for side, out, into in ((client, ends[1], ends[2]), (server, ends[3], ends[0])):
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()
            data = out.read()
            total += len(data)
            into.write(data)
    assert 2000 < total < GREETING_BYTES - 2 * 68 - 2 * 64


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"certificate": "missing.pem"}, r"missing\.pem: cannot be read: No such file or directory"),
        ({"key": "aggregator.key"}, "are not a certificate and its key"),
        ({"certificate": "sensor.key"}, "are not a certificate and its key"),
        ({"authority": "ca.key"}, r"ca\.key: holds no certificate in PEM"),
        ({"key": "locked.key"}, r"locked\.key: is encrypted"),
    ],
)
def test_files_that_are_no_credentials_are_named(keys: Path, change: dict[str, str], line: str) -> None:
    from cryptography.hazmat.primitives import serialization as form

    key = form.load_pem_private_key((keys / "sensor.key").read_bytes(), None)
    locked = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.BestAvailableEncryption(b"secret"))
    (keys / "locked.key").write_bytes(locked)
    given = replace(credentials(keys, "sensor"), **{field: keys / name for field, name in change.items()})
    with pytest.raises(ConfigError, match=line) as caught:
        given.client()
    assert "\n" not in str(caught.value)


def test_both_programs_run_in_tls_on_every_address(keys: Path) -> None:
    bundle = exported(0, "float32")

    def command(program: str, *arguments: str) -> list[str]:
        role = credentials(keys, program)
        files = ("--tls-cert", str(role.certificate), "--tls-key", str(role.key), "--tls-ca", str(role.authority))
        return [sys.executable, "-m", f"splitkit.runtime.{program}", str(bundle.path), *arguments, *files]

    serve = command("aggregator", "--listen", "0.0.0.0:0", "--frames", "3")
    aggregator = subprocess.Popen(serve, stdout=subprocess.PIPE, text=True, env=os.environ)
    assert aggregator.stdout is not None
    port = aggregator.stdout.readline().strip().rsplit(":", 1)[1]
    sensor = subprocess.run(command("sensor", "--connect", f"127.0.0.1:{port}"), check=False, timeout=60)
    output, _ = aggregator.communicate(timeout=60)
    assert (sensor.returncode, aggregator.returncode) == (0, 0)
    assert output.startswith("frame 0: class ")
