"""Splitting a kernel over threads: once, outermost, into equal shares of its pieces of work.

All families split the image's rows (or pixels) where they can, so that what one core writes the same core reads next:
fetching lines that another core has just written costs more than it saves. For the same reason even short kernels are
split; small ones among large ones would pull half of the tensor over.

A run forks once and joins once. In between every thread calls the kernels that are shared, works on its share of each,
and waits for the others after it. What a shared kernel does outside its shares every thread does, in memory of its own.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil

from tvm import tirx

from splitkit.compiler.codegen.code import Code, Expr, divide, integer
from splitkit.compiler.machine import Machine

RUN_NS = 12_000
"""A network shorter than this, all its kernels together, runs on one thread: to fork and join takes 2 to 5 us."""
SHARE_NS = 500
"""A kernel shorter than this is left to the first thread. To wait for each other takes half a microsecond."""
UNEVEN = 0.75
"""Least part of the threads' time that a split has to use."""
MACS_PER_LANE_NS = 4
"""Multiply-adds per vector lane in a nanosecond: one unit at 4 GHz; errs towards one thread on lesser machines."""
BYTES_PER_NS = 50


@dataclass(frozen=True)
class Share:
    """The pieces [low, high) of one thread."""

    code: Code
    low: Expr
    high: Expr

    @contextmanager
    def pieces(self, name: str, first: int, count: int) -> Iterator[Expr]:
        """Loop over those of the pieces [first, first + count) that belong to the share, numbered from 0."""
        if count == 1:  # its number stays known when the code is generated
            mine = tirx.And(tirx.LE(integer(self.low), integer(first)), tirx.LT(integer(first), integer(self.high)))
            with self.code.when(mine):
                yield 0
            return
        start = self.code.let(f"{name}0", _within(self.low, first, count))
        stop = self.code.let(f"{name}1", _within(self.high, first, count))
        with self.code.loop(name, stop - start, start) as i:
            yield i


def _within(piece: Expr, first: int, count: int) -> Expr:
    return tirx.Min(tirx.Max(integer(piece) - first, integer(0)), integer(count))


@dataclass(frozen=True)
class Whole:
    """The share of a kernel that is not split."""

    code: Code

    @contextmanager
    def pieces(self, name: str, first: int, count: int) -> Iterator[Expr]:
        """Loop over all of them."""
        with self.code.loop(name, count) as i:
            yield i


def least_ns(machine: Machine, macs: int, traffic_bytes: int) -> float:
    """What so much work takes one core at least."""
    return max(macs / (MACS_PER_LANE_NS * machine.lanes), traffic_bytes / BYTES_PER_NS)


def threads_for(machine: Machine, macs: int, traffic_bytes: int) -> int:
    """Threads that share a kernel of so much work."""
    return machine.threads if least_ns(machine, macs, traffic_bytes) > SHARE_NS else 1


def balance(pieces: int, threads: int) -> float:
    """Part of the threads' time that is used when equal pieces are dealt out."""
    return pieces / (threads * ceil(pieces / threads))


@contextmanager
def shared(code: Code, pieces: int, threads: int) -> Iterator[Share | Whole]:
    """Run what is emitted inside on `threads` threads, each with its share of `pieces` pieces."""
    threads = min(threads, pieces)
    if threads < 2:
        yield Whole(code)
        return
    # Threads past the last one with a share get none.
    thread = code.share()
    low, high = (tirx.Min(number, integer(threads)) * pieces for number in (thread, thread + 1))
    yield Share(code, code.let("low", divide(low, threads)), code.let("high", divide(high, threads)))
