"""The aggregator's program: calls for frames one at a time, receives every view, finishes the network.

python -m splitkit.runtime.aggregator BUNDLE --listen 127.0.0.1:4747 --frames 100
"""

import argparse
import json
import socket
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from splitkit.bundle import Bundle, load_bundle
from splitkit.bundle.ownership import require_own_file
from splitkit.errors import LinkError
from splitkit.labels import shown_name
from splitkit.runtime.clock import now_ns
from splitkit.runtime.connection import Connection
from splitkit.runtime.placement import Placement, place_aggregator, undisturbed
from splitkit.runtime.program import address, run_program, verify_key_option
from splitkit.runtime.stage import Stage
from splitkit.runtime.wire import Kind, Message, bundle_key

LEAD_NS = 250_000
"""How far ahead a capture is ordered, so that every sensor has the order in time: all views are of one moment."""

RECORDS_BEGIN = b'[{"frame": '
"""How a file of records begins: another file of that name is not overwritten."""


@dataclass(frozen=True)
class FrameRecord:
    """One frame's way through the system; CLOCK_MONOTONIC in ns, comparable if all processes share a machine.

    Attributes:
        captured_ns, sent_ns: per view, when the sensor took the image and when it began to send.
        received_ns: when the last view had arrived.
        result_ns: when the scores were there.
        scores: one per class.
    """

    frame: int
    captured_ns: tuple[int, ...]
    sent_ns: tuple[int, ...]
    received_ns: int
    result_ns: int
    scores: tuple[float, ...]


def run_aggregator(
    bundle: Bundle,
    listen: tuple[str, int],
    frames: int,
    ready: Callable[[int], None] = lambda port: None,
    timeout_s: float = 30.0,
) -> list[FrameRecord]:
    """Wait for every sensor, then run `frames` frames, one after the other.

    Args:
        listen: host and port; port 0 takes a free one.
        ready: called with the port once sensors may connect.

    Raises:
        LinkError: the port is taken, a sensor does not come, runs another bundle, goes away or sends nonsense.
    """
    placement = place_aggregator(bundle.manifest.system)
    sensors: list[Connection] = []
    with placement.taken():
        stage = Stage.of(bundle, "aggregator", placement.patience)
        try:
            with _listen(listen) as server:
                ready(server.getsockname()[1])
                sensors = _gather(server, bundle, placement, timeout_s)
            with undisturbed():
                records = [_run_frame(frame, sensors, stage, bundle) for frame in range(frames)]
            for sensor in sensors:
                sensor.send(Message(Kind.END, bundle_key(bundle.id)))
            return records
        finally:
            for sensor in sensors:
                sensor.close()


def _run_frame(frame: int, sensors: list[Connection], stage: Stage, bundle: Bundle) -> FrameRecord:
    key = bundle_key(bundle.id)
    capture_ns = now_ns() + LEAD_NS
    for view, sensor in enumerate(sensors):
        sensor.send(Message(Kind.CAPTURE, key, view, frame, captured_ns=capture_ns))
    messages = [_receive(sensor, view, frame, bundle) for view, sensor in enumerate(sensors)]
    received_ns = now_ns()
    arrays = [message.array for message in messages if message.array is not None]
    scores, result_ns = stage.run(arrays[0] if len(arrays) == 1 else np.concatenate(arrays))
    return FrameRecord(
        frame=frame,
        captured_ns=tuple(message.captured_ns for message in messages),
        sent_ns=tuple(message.sent_ns for message in messages),
        received_ns=received_ns,
        result_ns=result_ns,
        scores=tuple(float(score) for score in scores.ravel()),
    )


def _receive(sensor: Connection, view: int, frame: int, bundle: Bundle) -> Message:
    """One view's tensor of this frame, which must be what the bundle says."""
    message, link = sensor.receive(), bundle.manifest.link
    if message.kind != Kind.TENSOR or message.frame != frame or message.view != view or message.array is None:
        raise LinkError(f"{sensor.name}: sent {message.kind.name} {message.frame} where frame {frame} was due")
    if message.array.shape != link.shape or str(message.array.dtype) != link.dtype:
        raise LinkError(
            f"{sensor.name}: sent {message.array.dtype} {list(message.array.shape)}, "
            f"the bundle's link carries {link.dtype} {list(link.shape)}"
        )
    return message


def _listen(where: tuple[str, int]) -> socket.socket:
    try:
        return socket.create_server(where)
    except OSError as error:
        raise LinkError(
            f"{where[0]}:{where[1]}: cannot listen: {error.strerror or error}", "choose another port"
        ) from error


def _gather(server: socket.socket, bundle: Bundle, placement: Placement, timeout_s: float) -> list[Connection]:
    """One connection per view, in order of views."""
    views, key = bundle.manifest.views, bundle_key(bundle.id)
    connections: dict[int, Connection] = {}
    server.settimeout(timeout_s)
    try:
        while len(connections) < views:
            try:
                peer, _ = server.accept()
            except TimeoutError as error:
                missing = sorted(set(range(views)) - set(connections))
                raise LinkError(f"view {missing[0]} did not connect within {timeout_s:g} s") from error
            sensor = Connection(peer, "a sensor", timeout_s, placement.patience)
            view = _admit(sensor, key, views, connections)
            sensor.name = f"view {view}"
            connections[view] = sensor
    except BaseException:
        for connection in connections.values():
            connection.close()
        raise
    return [connections[view] for view in range(views)]


def _admit(sensor: Connection, key: bytes, views: int, taken: dict[int, Any]) -> int:
    """The view of a sensor that says hello with the right bundle."""
    try:
        hello = sensor.receive()
        if hello.kind != Kind.HELLO:
            raise LinkError(f"a sensor sent {hello.kind.name} where HELLO was due")
        if hello.bundle == key and hello.view < views and hello.view not in taken:
            sensor.send(Message(Kind.WELCOME, key, hello.view))
            return hello.view
        sensor.send(Message(Kind.REFUSE, key, hello.view))
        if hello.bundle != key:
            raise LinkError(
                f"view {hello.view} runs bundle {hello.bundle.hex()}, this aggregator bundle {key.hex()}",
                "both sides need the same export",
            )
        state = "is connected already" if hello.view in taken else f"does not exist: the bundle has {views}"
        raise LinkError(f"view {hello.view} {state}", "start each sensor once, views counted from 0")
    except LinkError:
        sensor.close()
        raise


def main() -> None:
    """Parse the command line, serve, and print the classes found or write the frames' records."""
    about = (__doc__ or "").split("\n")[0]
    parser = argparse.ArgumentParser(prog="python -m splitkit.runtime.aggregator", description=about)
    parser.add_argument("bundle", help="a bundle's directory")
    parser.add_argument("--listen", type=address, default=("127.0.0.1", 4747), help="HOST:PORT; port 0: any free one")
    parser.add_argument("--frames", type=int, default=16, help="how many frames to run")
    parser.add_argument("--records", type=Path, help="write the frames' records there, as JSON")
    parser.add_argument("--timeout", type=float, default=30.0, help="seconds of silence after which to give up")
    verify_key_option(parser)
    given = parser.parse_args()
    if given.records is not None:
        require_own_file(given.records, lambda head: head.startswith(RECORDS_BEGIN))
    bundle = load_bundle(given.bundle, given.verify_key)

    def announce(port: int) -> None:
        print(f"listening on {given.listen[0]}:{port}", flush=True)

    records = run_aggregator(bundle, given.listen, given.frames, announce, given.timeout)
    if given.records is not None:
        given.records.write_text(json.dumps([asdict(record) for record in records]))
        return
    for record in records:
        total_us = (record.result_ns - min(record.captured_ns)) / 1e3
        name = shown_name(bundle.manifest.class_name(int(np.argmax(record.scores))))
        print(f"frame {record.frame}: class {name}, {total_us:.0f} us")


if __name__ == "__main__":
    sys.exit(run_program(main))
