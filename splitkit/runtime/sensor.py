"""The sensor's program: waits for the aggregator's word, captures, computes, sends.

python -m splitkit.runtime.sensor BUNDLE --connect 127.0.0.1:4747 --view 0
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitkit.bundle import Bundle, load_bundle
from splitkit.errors import LinkError
from splitkit.runtime.clock import now_ns
from splitkit.runtime.connection import Connection
from splitkit.runtime.placement import place_sensor, undisturbed
from splitkit.runtime.program import address, run_program, verify_key_option
from splitkit.runtime.shaper import ShapedLink, SharedLink
from splitkit.runtime.stage import Stage
from splitkit.runtime.wire import Kind, Message, bundle_key, encode

FARTHEST_NS = 1_000_000_000
LATEST_NS = 1_000_000
"""An order for a capture further ahead, or longer past, was given by another clock."""


def run_sensor(
    bundle: Bundle,
    images: NDArray[np.uint8],
    view: int,
    connect: tuple[str, int],
    shared_link: Path | None = None,
    timeout_s: float = 30.0,
) -> int:
    """Serve as sensor `view` until the aggregator ends; returns the number of frames sent.

    Args:
        images: what it sees, uint8 (frames, channels, size, size), over and over.
        shared_link: a file in which sensors of one machine share one link; left out, the link is this sensor's own.

    Raises:
        LinkError: the aggregator cannot be reached, runs another bundle, refuses the view, or goes away.
    """
    manifest = bundle.manifest
    placement = place_sensor(manifest.system, view, manifest.views)
    key = bundle_key(bundle.id)
    with placement.taken():
        stage = Stage.of(bundle, "sensor", placement.patience)
        shared = None if shared_link is None else SharedLink(shared_link)
        shaped = ShapedLink(manifest.system.link, shared, placement.patience)
        peer = Connection.to(*connect, "the aggregator", timeout_s, placement.patience)
        try:
            _greet(peer, key, view)
            with undisturbed():
                return _serve(peer, stage, shaped, images, Message(
                    Kind.TENSOR, key, view, scale=manifest.link.scale, zero_point=manifest.link.zero_point
                ))  # fmt: skip
        finally:
            peer.close()


def _serve(peer: Connection, stage: Stage, shaped: ShapedLink, images: NDArray[np.uint8], template: Message) -> int:
    """Capture, compute and send as ordered, until the end; returns the number of frames."""
    sent = 0
    while True:
        order = peer.receive()
        if order.kind == Kind.END:
            return sent
        if order.kind != Kind.CAPTURE:
            raise LinkError(f"the aggregator sent {order.kind.name} where CAPTURE or END was due")
        captured_ns = _capture_time(order.captured_ns)
        stage.patience.wait_until(captured_ns)
        array, done_ns = stage.run(images[order.frame % len(images)][None], captured_ns)
        message = replace(template, frame=order.frame, array=array, captured_ns=captured_ns, sent_ns=done_ns)
        _send(peer, shaped, message)
        sent += 1


def _capture_time(ordered_ns: int) -> int:
    """When to take the image: as ordered, if that lies just ahead on this machine's clock; else now."""
    now = now_ns()
    return ordered_ns if now <= ordered_ns + LATEST_NS and ordered_ns <= now + FARTHEST_NS else now


def _greet(peer: Connection, key: bytes, view: int) -> None:
    """Agree on bundle and view."""
    peer.send(Message(Kind.HELLO, key, view))
    answer = peer.receive()
    if answer.kind == Kind.WELCOME:
        return
    if answer.bundle != key:
        raise LinkError(
            f"the aggregator runs bundle {answer.bundle.hex()}, this sensor bundle {key.hex()}",
            "both sides need the same export",
        )
    raise LinkError(f"the aggregator refuses view {view}", "each view connects once, counted from 0")


def _send(peer: Connection, shaped: ShapedLink, message: Message) -> None:
    header, payload = encode(message)
    try:
        shaped.send(peer.socket, header, payload, message.sent_ns)
    except OSError as error:
        raise LinkError(f"the aggregator is gone: {error.strerror or error}") from error


def _views_of(images: NDArray[Any], view: int, source: str) -> NDArray[np.uint8]:
    if images.ndim != 5 or not 0 <= view < images.shape[1]:
        raise LinkError(f"{source}: no view {view} in images of shape {list(images.shape)}")
    return np.ascontiguousarray(images[:, view])


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(
        prog="python -m splitkit.runtime.sensor", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("bundle", help="a bundle's directory; frames come from its sample")
    parser.add_argument("--connect", type=address, required=True, help="the aggregator's HOST:PORT")
    parser.add_argument("--view", type=int, default=0, help="which view this sensor is, from 0")
    parser.add_argument("--shared-link", type=Path, help="file in which sensors of this machine share one link")
    parser.add_argument("--timeout", type=float, default=30.0, help="seconds of silence after which to give up")
    verify_key_option(parser)
    given = parser.parse_args()
    bundle = load_bundle(given.bundle, given.verify_key)
    images = _views_of(bundle.sample()[0], given.view, f"{given.bundle}/sample.npz")
    run_sensor(bundle, images, given.view, given.connect, given.shared_link, given.timeout)


if __name__ == "__main__":
    sys.exit(run_program(main))
