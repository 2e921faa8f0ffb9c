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
from splitkit.runtime.allowance import Allowance
from splitkit.runtime.clock import now_ns
from splitkit.runtime.connection import Connection
from splitkit.runtime.placement import place_sensor, undisturbed
from splitkit.runtime.program import PORT, add_timeout, peer_address, run_program, verify_key_option
from splitkit.runtime.shaper import ShapedLink, SharedLink
from splitkit.runtime.stage import Stage
from splitkit.runtime.tls import Credentials, add_flags, credentials_of
from splitkit.runtime.wire import Kind, Message, bundle_key, encode

FARTHEST_NS = 1_000_000_000
LATEST_NS = 1_000_000
"""An order for a capture further ahead, or longer past, was given by another clock."""


def run_sensor(
    bundle: Bundle,
    images: NDArray[Any],
    view: int,
    connect: tuple[str, int],
    shared_link: Path | None = None,
    timeout_s: float = 30.0,
    credentials: Credentials | None = None,
) -> int:
    """Serve as sensor `view` until the aggregator ends; returns the number of frames sent.

    Args:
        images: what it sees, (frames, channels, size, size) in the dtype of the bundle's image, over and over.
        shared_link: a file in which sensors of one machine share one link; left out, the link is this sensor's own.
        timeout_s: how long the aggregator may be silent for each view, beside a multiple of what the link takes.
        credentials: for TLS, which the aggregator then has to speak.

    Raises:
        BundleError: several tensors cross its cut.
        LinkError: the aggregator cannot be reached, runs another bundle, refuses the view, goes away or is silent.
    """
    manifest, link = bundle.manifest, bundle.link
    placement = place_sensor(manifest.system, view, manifest.views)
    key = bundle_key(bundle.id)
    with placement.taken():
        stage = Stage.of(bundle, "sensor", placement.patience)
        shared = None if shared_link is None else SharedLink(shared_link)
        shaped = ShapedLink(manifest.system.link, shared, placement.patience)
        patience_s = manifest.views * timeout_s  # the aggregator may be waiting so long for the other sensors
        allowance = Allowance.of(manifest.system.link, link.payload_bytes, manifest.views, patience_s)
        tls = None if credentials is None else credentials.client()
        peer = Connection.to(*connect, "the aggregator", allowance, placement.patience, tls)
        try:
            _greet(peer, key, view)
            with undisturbed():
                return _serve(peer, stage, shaped, images, Message(
                    Kind.TENSOR, key, view, scale=link.scale, zero_point=link.zero_point
                ))  # fmt: skip
        finally:
            peer.close()


def _serve(peer: Connection, stage: Stage, shaped: ShapedLink, images: NDArray[Any], template: Message) -> int:
    """Capture, compute and send as ordered, until the end; returns the number of frames."""
    sent = 0
    while True:
        order = peer.receive()
        if order.bundle != template.bundle:
            raise LinkError("the aggregator sent an order for another bundle")
        if order.kind == Kind.END:
            return sent
        if order.kind != Kind.CAPTURE or order.view != template.view:
            raise LinkError(f"the aggregator sent {order.kind.name} for view {order.view} where CAPTURE or END was due")
        captured_ns = _capture_time(order.captured_ns)
        stage.patience.wait_until(captured_ns)
        array, done_ns = stage.run(images[order.frame % len(images)][None], captured_ns)
        message = replace(template, frame=order.frame, array=array, captured_ns=captured_ns, sent_ns=done_ns)
        shaped.send(peer, *encode(message), message.sent_ns)
        sent += 1


def _capture_time(ordered_ns: int) -> int:
    """When to take the image: as ordered, if that lies just ahead on this machine's clock; else now."""
    now = now_ns()
    return ordered_ns if now <= ordered_ns + LATEST_NS and ordered_ns <= now + FARTHEST_NS else now


def _greet(peer: Connection, key: bytes, view: int) -> None:
    """Agree on bundle and view."""
    peer.send(Message(Kind.HELLO, key, view))
    try:
        answer = peer.receive()
    except LinkError as error:
        raise LinkError(str(error), "while being greeted: the aggregator's own output says why") from error
    if answer.bundle != key:
        raise LinkError(
            f"the aggregator runs bundle {answer.bundle.hex()}, this sensor bundle {key.hex()}",
            "both sides need the same export",
        )
    if answer.kind == Kind.REFUSE:
        raise LinkError(f"the aggregator refuses view {view}", "each view connects once, counted from 0")
    if answer.kind != Kind.WELCOME or answer.view != view:
        raise LinkError(f"the aggregator sent {answer.kind.name} for view {answer.view} where WELCOME was due")


def _views_of(images: NDArray[Any], view: int, source: str) -> NDArray[Any]:
    if images.ndim < 2 or not 0 <= view < images.shape[1]:
        raise LinkError(f"{source}: no view {view} in images of shape {list(images.shape)}")
    return np.ascontiguousarray(images[:, view])


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(
        prog="python -m splitkit.runtime.sensor", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("bundle", help="a bundle's directory; frames come from its sample")
    parser.add_argument(
        "--connect", type=peer_address, required=True, metavar="HOST[:PORT]",
        help=f"where the aggregator listens; port {PORT} by default; IPv6 as [::1]:{PORT}",
    )  # fmt: skip
    parser.add_argument("--view", type=int, default=0, help="which view this sensor is, from 0")
    parser.add_argument("--shared-link", type=Path, help="file in which sensors of this machine share one link")
    add_timeout(parser)
    add_flags(parser, "sensor")
    verify_key_option(parser)
    given = parser.parse_args()
    credentials = credentials_of(parser, given)
    bundle = load_bundle(given.bundle, given.verify_key)
    images = _views_of(bundle.sample()[0], given.view, f"{given.bundle}/sample.npz")
    run_sensor(bundle, images, given.view, given.connect, given.shared_link, given.timeout, credentials)


if __name__ == "__main__":
    sys.exit(run_program(main))
