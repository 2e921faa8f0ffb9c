"""The aggregator's program: calls for frames one at a time, receives every view, finishes the network.

python -m splitkit.runtime.aggregator BUNDLE --listen 127.0.0.1:4747 --frames 100
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from splitkit.addresses import format_address
from splitkit.bundle import Bundle, load_bundle
from splitkit.bundle.ownership import require_own_file
from splitkit.errors import LinkError
from splitkit.labels import shown_name
from splitkit.reading import jsonable
from splitkit.runtime.admission import Gathering, Terms, listen
from splitkit.runtime.allowance import Allowance
from splitkit.runtime.clock import now_ns
from splitkit.runtime.connection import Connection
from splitkit.runtime.placement import place_aggregator, undisturbed
from splitkit.runtime.program import (
    PORT,
    add_timeout,
    count,
    listening_address,
    run_program,
    to_stderr,
    verify_key_option,
)
from splitkit.runtime.stage import Stage
from splitkit.runtime.tls import Credentials, add_flags, credentials_of
from splitkit.runtime.wire import Kind, Message, TensorType, bundle_key

LEAD_NS = 250_000
"""How far ahead a capture is ordered, so that every sensor has the order in time: all views are of one moment."""

RECORDS_BEGIN = b'[{"frame": '
"""How a file of records begins: another file of that name is not overwritten."""

NO_CLASS = "no class (a score is not finite)"


@dataclass(frozen=True)
class FrameRecord:
    """One frame's way through the system; CLOCK_MONOTONIC in ns, comparable if all processes share a machine.

    Attributes:
        captured_ns, sent_ns: per view, when the sensor took the image and when it began to send.
        received_ns: when the last view had arrived.
        result_ns: when the scores were there.
        scores: one per class; what is not finite is null in JSON, and the frame then has no class.
        missing: views that the frame lacks; their times are 0.
    """

    frame: int
    captured_ns: tuple[int, ...]
    sent_ns: tuple[int, ...]
    received_ns: int
    result_ns: int
    scores: tuple[float, ...]
    missing: tuple[int, ...] = ()

    @property
    def total_ns(self) -> int:
        """From the first image to the scores."""
        return self.result_ns - min(ns for view, ns in enumerate(self.captured_ns) if view not in self.missing)

    @property
    def label(self) -> int | None:
        """The class with the highest score; None if a score is not finite, for then nothing was found."""
        return int(np.argmax(self.scores)) if np.isfinite(self.scores).all() else None


def records_json(records: Sequence[FrameRecord]) -> str:
    """What `--records` writes."""
    return json.dumps(jsonable([asdict(record) for record in records]), allow_nan=False)


def run_aggregator(
    bundle: Bundle,
    listen_at: tuple[str, int],
    frames: int,
    ready: Callable[[int], None] = lambda port: None,
    timeout_s: float = 30.0,
    credentials: Credentials | None = None,
    insecure: bool = False,
    say: Callable[[str], None] = to_stderr,
) -> list[FrameRecord]:
    """Wait for every sensor, then run `frames` frames, one after the other.

    Args:
        listen_at: host and port; port 0 takes a free one.
        ready: called with the port once sensors may connect.
        timeout_s: how long the next sensor may take to connect, and how long an admitted one may be silent (beside a
            multiple of what the link takes).
        credentials: for TLS, which every sensor then has to speak.
        insecure: listen where others can connect, without TLS.
        say: given a line for every peer that was turned away while sensors were waited for.

    Raises:
        BundleError: several tensors cross its cut.
        ConfigError: others could connect there, and there is neither TLS nor the word that this is meant.
        LinkError: the port is taken, a sensor does not come, goes away, stays silent or sends nonsense. Where the
            network is made for frames that lack views, it goes on with those that are left, takes sensors in again that
            come back, and ends so only when none is left.
    """
    manifest = bundle.manifest
    placement = place_aggregator(manifest.system)
    key, link = bundle_key(bundle.id), bundle.link
    terms = Terms(
        key=key,
        views=manifest.views,
        link=TensorType(link.dtype, tuple(link.shape)),
        allowance=Allowance.of(manifest.system.link, link.payload_bytes, manifest.views, timeout_s),
        timeout_s=timeout_s,
        patience=placement.patience,
        tls=None if credentials is None else credentials.server(),
    )
    with placement.taken():
        stage = Stage.of(bundle, "aggregator", placement.patience)
        with (
            listen(*listen_at, protected=insecure or credentials is not None) as server,
            Gathering(server, terms, say) as gathering,
        ):
            ready(server.getsockname()[1])
            gathering.wait()
            views = Views(gathering, manifest.views, key, tolerant=manifest.origin.masked)
            if views.tolerant:
                say("all views are there")
            with undisturbed():
                records = [run_frame(frame, views, stage) for frame in range(frames)]
            for view, sensor in gathering.sensors.items():
                with suppress(LinkError):  # who is gone by now need not be told; the records are whole
                    sensor.send(Message(Kind.END, key, view))
            return records


@dataclass(frozen=True)
class Views:
    """All sensors of a system as one; `tolerant` of those that are lost."""

    gathering: Gathering
    count: int
    key: bytes
    tolerant: bool

    def capture(self, frame: int) -> dict[int, Message]:
        """One frame's tensors, by view, of all views; if tolerant, of those that are left.

        Raises:
            LinkError: a sensor was lost; if tolerant, the last one.
        """
        if len(self.gathering.sensors) < self.count:
            self.gathering.admit_waiting()
        capture_ns = now_ns() + LEAD_NS
        for view, sensor in sorted(self.gathering.sensors.items()):
            with self._surviving(view):
                sensor.send(Message(Kind.CAPTURE, self.key, view, frame, captured_ns=capture_ns))
        found: dict[int, Message] = {}
        for view, sensor in sorted(self.gathering.sensors.items()):
            with self._surviving(view):
                found[view] = _receive(sensor, view, frame, self.key)
        return found

    @contextmanager
    def _surviving(self, view: int) -> Iterator[None]:
        """What fails within it costs the system that view."""
        try:
            yield
        except LinkError as error:
            if not self.tolerant or len(self.gathering.sensors) == 1:
                raise
            self.gathering.lose(view, str(error))


def run_frame(frame: int, views: Views, stage: Stage) -> FrameRecord:
    messages = views.capture(frame)
    received_ns = now_ns()
    arrays = {view: message.array for view, message in messages.items() if message.array is not None}
    missing = tuple(view for view in range(views.count) if view not in arrays)
    some = next(iter(arrays.values()))
    nothing = np.zeros_like(some) if missing else some
    present = np.array([view in arrays for view in range(views.count)]) if views.tolerant else None
    given = [arrays.get(view, nothing) for view in range(views.count)]
    scores, result_ns = stage.run(given[0] if len(given) == 1 else np.concatenate(given), present=present)
    return FrameRecord(
        frame=frame,
        captured_ns=tuple(messages[view].captured_ns if view in messages else 0 for view in range(views.count)),
        sent_ns=tuple(messages[view].sent_ns if view in messages else 0 for view in range(views.count)),
        received_ns=received_ns,
        result_ns=result_ns,
        scores=tuple(float(score) for score in scores.ravel()),
        missing=missing,
    )


def _receive(sensor: Connection, view: int, frame: int, key: bytes) -> Message:
    """One view's tensor of this frame. That it is of the bundle's dtype and shape the connection has seen to."""
    message = sensor.receive()
    if message.kind != Kind.TENSOR or message.frame != frame or message.view != view:
        raise LinkError(
            f"{sensor.name}: sent {message.kind.name} {message.frame} of view {message.view} "
            f"where frame {frame} was due"
        )
    if message.bundle != key:
        raise LinkError(f"{sensor.name}: sent a frame of another bundle")
    return message


def main() -> None:
    """Parse the command line, serve, and print the classes found or write the frames' records."""
    about = (__doc__ or "").split("\n")[0]
    parser = argparse.ArgumentParser(prog="python -m splitkit.runtime.aggregator", description=about)
    parser.add_argument("bundle", help="a bundle's directory")
    parser.add_argument(
        "--listen", type=listening_address, default=("127.0.0.1", PORT), metavar="HOST[:PORT]",
        help=f"where sensors connect, 127.0.0.1:{PORT} by default; port 0: any free one; IPv6 as [::1]:{PORT}",
    )  # fmt: skip
    parser.add_argument("--frames", type=count, default=16, help="how many frames to run")
    parser.add_argument("--records", type=Path, help="write the frames' records there, as JSON")
    add_timeout(parser)
    add_flags(parser, "aggregator")
    verify_key_option(parser)
    parser.add_argument("--insecure", action="store_true", help="let others than this machine connect without TLS")
    given = parser.parse_args()
    credentials = credentials_of(parser, given)
    if given.records is not None:
        if not given.records.parent.is_dir():
            parser.error(f"--records: {given.records.parent}: there is no such directory")
        require_own_file(given.records, lambda head: head.startswith(RECORDS_BEGIN))
    bundle = load_bundle(given.bundle, given.verify_key)

    def announce(port: int) -> None:
        print(f"listening on {format_address(given.listen[0], port)}", flush=True)

    records = run_aggregator(
        bundle, given.listen, given.frames, announce, given.timeout, credentials, insecure=given.insecure
    )
    if given.records is not None:
        given.records.write_text(records_json(records))
        return
    for record in records:
        name = NO_CLASS if record.label is None else f"class {shown_name(bundle.manifest.class_name(record.label))}"
        lacks = "".join(f", without view {view}" for view in record.missing)
        print(f"frame {record.frame}: {name}, {record.total_ns / 1e3:.0f} us{lacks}")


if __name__ == "__main__":
    sys.exit(run_program(main))
