"""A socket made as slow as a link profile says: a token bucket, shared between processes where the link is shared.

The header of a message is part of the profile's per-transfer overhead; only the payload is paid for by the byte.
"""

import mmap
import os
import struct
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from splitkit.profiles.schema import LinkProfile
from splitkit.runtime.clock import OWN_PROCESSOR, Patience, now_ns

try:
    import fcntl
except ImportError:  # no POSIX locks: a shared link is then exact only with one sensor per machine
    fcntl = None  # type: ignore[assignment]

BURST_BYTES = 4096
"""Most bytes that leave at once; a burst leaves when its last byte is due."""

_FREE_AT = struct.Struct("<q")


class Outlet(Protocol):
    """Where bytes leave: a `Connection`, or a socket."""

    def sendall(self, data: bytes | memoryview, /) -> None:
        """Send all of them."""


class SharedLink:
    """When a link carried by several processes is free again: 8 bytes in a file, under a lock."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT)
        if os.fstat(self._file).st_size < _FREE_AT.size:
            os.ftruncate(self._file, _FREE_AT.size)
        self._memory = mmap.mmap(self._file, _FREE_AT.size)

    def reserve(self, earliest_ns: int, duration_ns: int) -> int:
        """Take the link for `duration_ns` from `earliest_ns` on or as soon as it is free; returns when that begins."""
        if fcntl is not None:
            fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            begin = max(earliest_ns, _FREE_AT.unpack_from(self._memory)[0])
            _FREE_AT.pack_into(self._memory, 0, begin + duration_ns)
        finally:
            if fcntl is not None:
                fcntl.flock(self._file, fcntl.LOCK_UN)
        return int(begin)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._memory.close()
        os.close(self._file)


class ShapedLink:
    """Sends messages at a profile's pace: one transfer lasts overhead + payload / bandwidth.

    A token bucket of depth `BURST_BYTES` that fills at the bandwidth and is empty when a transfer begins: bytes leave
    no earlier than the link would have carried them.
    """

    def __init__(
        self, profile: LinkProfile, shared: SharedLink | None = None, patience: Patience = OWN_PROCESSOR
    ) -> None:
        self.profile = profile
        self._wait_until = patience.wait_until
        self._shared = shared
        self._ns_per_byte = 1e9 / profile.bandwidth_bytes_per_s
        self._overhead_ns = profile.overhead_us * 1e3

    def send(self, peer: Outlet, header: bytes, payload: memoryview, ready_ns: int | None = None) -> None:
        """Send one message that was ready at `ready_ns` (left out: now); returns when its last byte has left."""
        ready_ns = now_ns() if ready_ns is None else ready_ns
        duration = round(self._overhead_ns + len(payload) * self._ns_per_byte)
        begin = ready_ns if self._shared is None else self._shared.reserve(ready_ns, duration)
        self._wait_until(begin + round(self._overhead_ns))
        peer.sendall(header)
        for first in range(0, len(payload), BURST_BYTES):
            burst = payload[first : first + BURST_BYTES]
            self._wait_until(begin + round(self._overhead_ns + (first + len(burst)) * self._ns_per_byte))
            peer.sendall(burst)
