"""Damaged sessions against everything that reads the wire, in Python and in C++.

    python benchmarks/wire_fuzz.py --json

Python: the parser; an aggregator that waits for its sensor, with a damaged one connecting before the good one; a sensor
with a damaged aggregator. C++ (with --cpp): the runner's same two sides, built with the address and undefined-behaviour
sanitizers where the compiler has them. Every stream must end in a value or a one-line error, within a time limit, and
in little more memory than the process had before.
"""

import argparse
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from importlib import resources
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a script

from benchmarks.report import emit, status
from benchmarks.wire_streams import FRAMES, KEY, LINK, aggregator_session, damaged, sensor_session
from splitkit.devices.linux_cross.architecture import ARCHITECTURES, compiler_for
from splitkit.errors import LinkError
from splitkit.profiles.schema import LinkProfile
from splitkit.runtime.admission import Gathering, Terms
from splitkit.runtime.aggregator import Views, run_frame
from splitkit.runtime.allowance import Allowance
from splitkit.runtime.clock import Patience
from splitkit.runtime.connection import Connection
from splitkit.runtime.sensor import _greet, _serve
from splitkit.runtime.shaper import ShapedLink
from splitkit.runtime.stage import Stage
from splitkit.runtime.wire import HEADER_BYTES, Kind, Message, decode, encode, rank_of

LONGEST_S = 5.0
ROOM_BYTES = 64 << 20
"""How much more address space the process may take while it is fuzzed."""

IMPATIENT = Patience(spin_ns=0, poll_ns=0)
NOTHING = Stage(None, (), "", 1.0, None, "nothing to compute", IMPATIENT)
SILENCE_S = 0.02
ADMITTED = "turned away, the good one admitted"
HELD_OPEN = 97
"""Every so manieth stream is not followed by an end: the peer stays connected and silent."""


def parse(stream: bytes) -> str:
    """Message by message, as a receiver reads."""
    try:
        while stream:
            size = HEADER_BYTES + 4 * rank_of(stream[:HEADER_BYTES].ljust(HEADER_BYTES, b"\0"))
            header = decode(stream[:size].ljust(size, b"\0"))
            end = size + header.payload_bytes
            header.with_payload(stream[size:end])
            stream = stream[end:]
    except LinkError as error:
        return one_line(error)
    return "accepted"


def against_aggregator(number: int, stream: bytes, server: socket.socket) -> str:
    """A damaged sensor connects, then a good one; whichever is admitted is asked for frames."""
    terms = Terms(KEY, 1, LINK, Allowance(SILENCE_S, 1.0), 2.0, IMPATIENT)
    with _connected(server) as peer, _connected(server) as good:
        _deliver(peer, stream, number)
        _deliver(good, encode(Message(Kind.HELLO, KEY))[0], HELD_OPEN)
        lines: list[str] = []
        try:
            with Gathering(server, terms, lines.append) as gathering:
                gathering.wait()
                if lines:
                    one_line(LinkError(lines[0]))
                    return ADMITTED
                views = Views(gathering, 1, KEY, tolerant=False)
                for frame in range(FRAMES):
                    run_frame(frame, views, NOTHING)
        except LinkError as error:
            return one_line(error)
        finally:
            while _pending(server):  # the good one, where it was not needed
                server.accept()[0].close()
    return "accepted"


def against_sensor(number: int, stream: bytes) -> str:
    """A sensor whose aggregator is damaged."""
    ours, theirs = socket.socketpair()
    with theirs:
        _deliver(theirs, stream, number)
        peer = Connection(ours, "the aggregator", SILENCE_S, IMPATIENT)
        link = ShapedLink(LinkProfile(name="fast", bandwidth_bytes_per_s=1e12), patience=IMPATIENT)
        try:
            _greet(peer, KEY, 0)
            _serve(peer, NOTHING, link, np.zeros((4, 100), np.uint8), Message(Kind.TENSOR, KEY, 0))
        except LinkError as error:
            return one_line(error)
        finally:
            peer.close()
    return "accepted"


def one_line(error: LinkError) -> str:
    """The outcome `refused`, if the message is one line as a user wants it."""
    assert "\n" not in str(error).strip(), error
    return "refused"


def _connected(server: socket.socket) -> socket.socket:
    peer = socket.socket(socket.AF_UNIX)
    peer.connect(server.getsockname())
    return peer


def _pending(server: socket.socket) -> bool:
    server.setblocking(False)
    try:
        server.accept()[0].close()
    except BlockingIOError:
        return False
    return True


def _deliver(peer: socket.socket, stream: bytes, number: int) -> None:
    peer.sendall(stream)
    if number % HELD_OPEN:
        peer.shutdown(socket.SHUT_WR)


class Fuzzer:
    """Counts outcomes; keeps what went wrong."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.failures: list[str] = []
        self.slowest_s = 0.0

    def run(self, name: str, streams: Iterable[bytes], read: Callable[[int, bytes], str]) -> None:
        """Give every stream to `read`."""
        previous = signal.signal(signal.SIGALRM, _too_long)
        for number, stream in enumerate(streams, 1):
            started = time.monotonic()
            signal.setitimer(signal.ITIMER_REAL, LONGEST_S)
            try:
                self.outcomes[read(number, stream)] += 1
            except BaseException as error:  # whatever it is, it is what must not be
                kind = "hang" if isinstance(error, TimeoutError) else "traceback"
                self.outcomes[kind] += 1
                self.failures.append(f"{name} {number}: {type(error).__name__}: {error}: {stream.hex()}")
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
            self.slowest_s = max(self.slowest_s, time.monotonic() - started)
            if number % 5000 == 0:
                status(f"{name}: {number}")
        signal.signal(signal.SIGALRM, previous)


def _too_long(number: int, frame: object) -> None:
    raise TimeoutError(f"longer than {LONGEST_S} s")


def fuzz_python(inputs: int, seed: int) -> dict[str, Fuzzer]:
    """A third of the inputs to each reader, in a process whose memory is limited from here on."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + ROOM_BYTES, hard))
    found = {name: Fuzzer() for name in ("python parser", "python aggregator", "python sensor")}
    parser, aggregator, sensor = found.values()
    each = -(-inputs // 3)
    both = [*sensor_session(), *aggregator_session()]
    parser.run("python parser", damaged(both, each, seed), lambda number, stream: parse(stream))
    with tempfile.TemporaryDirectory() as scratch, socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{scratch}/s")
        server.listen(8)
        streams = damaged(sensor_session(), each, seed + 1)
        aggregator.run("python aggregator", streams, lambda n, stream: against_aggregator(n, stream, server))
    sensor.run("python sensor", damaged(aggregator_session(), each, seed + 2), against_sensor)
    return found


SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
DRIVERS = {"aggregator": sensor_session, "sensor": aggregator_session}


def build_cpp(folder: Path) -> tuple[dict[str, Path], bool]:
    """The runner's two sides as programs that read damaged streams; whether sanitizers watch them."""
    compiler = compiler_for(ARCHITECTURES[os.uname().machine])
    drivers = Path(__file__).parent / "wire_fuzz_cpp"
    with resources.as_file(resources.files("splitkit.devices.linux_cross") / "runner") as runner:
        programs = ("half.cpp", "main.cpp", "local.cpp", "aggregator.cpp", "sensor.cpp")
        sources = [str(path) for path in sorted(runner.glob("*.cpp")) if path.name not in programs]
        for sanitizers in (SANITIZERS, ()):
            flags = ("-std=c++17", "-O1", "-g", *sanitizers, "-I", str(runner), "-rdynamic")
            built = {side: folder / side for side in DRIVERS}
            complaint = ""
            for side, path in built.items():
                command = [*compiler.cpp, *flags, str(drivers / f"fuzz_{side}.cpp"), *sources, "-o", str(path), "-ldl"]
                complaint += subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False).stderr
            if all(path.is_file() for path in built.values()):
                return built, bool(sanitizers)
    raise RuntimeError(next((line for line in complaint.splitlines() if "error" in line), complaint))


def fuzz_cpp(inputs: int, seed: int) -> dict[str, Fuzzer]:
    """Half of the inputs to each side of the runner."""
    found: dict[str, Fuzzer] = {}
    with tempfile.TemporaryDirectory() as scratch:
        programs, sanitized = build_cpp(Path(scratch))
        for offset, (side, session) in enumerate(DRIVERS.items(), 3):
            file, count = Path(scratch) / "streams", -(-inputs // 2)
            with file.open("wb") as out:
                for stream in damaged(session(), count, seed + offset):
                    out.write(struct.pack("<I", len(stream)) + stream)
            status(f"c++ {side}: {count}")
            fuzzer = found[f"c++ {side}{', sanitized' if sanitized else ''}"] = Fuzzer()
            started = time.monotonic()
            with (Path(scratch) / "stderr").open("w+") as stderr:
                done = subprocess.run(
                    [str(programs[side]), str(file)], stdout=subprocess.PIPE, stderr=stderr, text=True, check=False,
                    env=os.environ | {"ASAN_OPTIONS": f"max_allocation_size_mb={ROOM_BYTES >> 20}"},
                )  # fmt: skip
                stderr.seek(0)
                complaint = stderr.read()[-2000:]
            counts = dict(zip(("refused", "accepted"), map(int, done.stdout.split()), strict=False))
            fuzzer.outcomes.update(counts)
            fuzzer.slowest_s = time.monotonic() - started
            if done.returncode != 0 or sum(counts.values()) != count:
                fuzzer.outcomes["traceback"] += 1
                fuzzer.failures.append(f"c++ {side}: exit code {done.returncode}: {complaint}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--inputs", type=int, default=120_000, help="streams for each language")
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--cpp", action="store_true", help="the C++ runner as well")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = fuzz_cpp(given.inputs, given.seed) if given.cpp else {}  # compilers want memory: before it is limited
    found = fuzz_python(given.inputs, given.seed) | found
    status("")
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    outcomes = ("accepted", "refused", ADMITTED, "traceback", "hang")
    rows = [
        {"reader": name, "inputs": sum(fuzzer.outcomes.values())}
        | {outcome: fuzzer.outcomes[outcome] for outcome in outcomes}
        | {"slowest_s": round(fuzzer.slowest_s, 3)}
        for name, fuzzer in found.items()
    ]
    total: Counter[str] = Counter()
    for fuzzer in found.values():
        total.update(fuzzer.outcomes)
        for failure in fuzzer.failures[:5]:
            print(failure, file=sys.stderr)
    figures = {
        "inputs": sum(total.values()),
        "tracebacks": total["traceback"],
        "hangs": total["hang"],
        "grown_mib": round(grown / 2**20, 1),
    }
    emit("wire_fuzz", figures, rows, as_json=given.json)
    if total["traceback"] or total["hang"]:
        sys.exit(1)


if __name__ == "__main__":
    main()
