"""The frames between a sensor and an aggregator. `docs/wire.md` describes them for peers in other languages.

A message is a header of 68 bytes, then the shape (4 bytes per dimension), then the payload; all little-endian. The
header's checksum covers header and shape, so that a wrong length is noticed before it is waited for.
"""

import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitkit.errors import LinkError

MAGIC = b"SPLK"
VERSION = 1
HEADER = struct.Struct("<4sBBHIi16sBBHfQQIII")
"""magic, version, kind, view, frame, zero point, bundle, dtype, rank, reserved, scale, captured ns, sent ns, payload
length, payload CRC-32, header CRC-32. Every field lies at a multiple of its size."""

HEADER_BYTES = HEADER.size
_CRC_OFFSET = HEADER_BYTES - 4
_RANK_OFFSET = 33
MAX_RANK = 8
MAX_PAYLOAD_BYTES = 1 << 28

DTYPES = {1: "uint8", 2: "float16", 3: "float32"}
_DTYPE_CODES = {name: code for code, name in DTYPES.items()}


class Kind(IntEnum):
    """What a message is for."""

    HELLO = 1  # sensor -> aggregator: which bundle and which view
    WELCOME = 2  # aggregator -> sensor: the same bundle
    REFUSE = 3  # aggregator -> sensor: another bundle (its id in the header), or a view that is taken
    CAPTURE = 4  # aggregator -> sensor: take this frame, at `captured_ns` if the clocks are one
    TENSOR = 5  # sensor -> aggregator: the link tensor of this frame
    END = 6  # aggregator -> sensor: no more frames


@dataclass(frozen=True)
class Message:
    """One message. `captured_ns` and `sent_ns` are the sensor's clock; 0 where they mean nothing.

    `bundle` is the first 16 bytes of the bundle id. `array` is the tensor of a TENSOR message, else None.
    """

    kind: Kind
    bundle: bytes
    view: int = 0
    frame: int = 0
    array: NDArray[Any] | None = None
    scale: float = 1.0
    zero_point: int = 0
    captured_ns: int = 0
    sent_ns: int = 0


@dataclass(frozen=True)
class Header:
    """A checked header: the message without its payload, and what is still to be read."""

    message: Message
    dtype: str
    shape: tuple[int, ...]
    payload_bytes: int
    payload_crc: int

    def with_payload(self, payload: bytes | bytearray | memoryview) -> Message:
        """The whole message.

        Raises:
            LinkError: the payload's checksum is wrong.
        """
        if self.message.kind != Kind.TENSOR:
            return self.message
        crc = zlib.crc32(payload)
        if crc != self.payload_crc:
            raise LinkError(
                f"frame {self.message.frame} of view {self.message.view}: payload CRC-32 is {crc:08x}, "
                f"the header says {self.payload_crc:08x}",
                "the link corrupts data",
            )
        array = np.frombuffer(payload, dtype=self.dtype).reshape(self.shape)
        m = self.message
        return Message(
            m.kind, m.bundle, m.view, m.frame, array, m.scale, m.zero_point, m.captured_ns, m.sent_ns
        )  # fmt: skip


def bundle_key(bundle_id: str) -> bytes:
    """The 16 bytes that stand for a bundle id (64 hexadecimal digits) on the wire."""
    return bytes.fromhex(bundle_id)[:16]


def encode(message: Message) -> tuple[bytes, memoryview]:
    """Header with shape, and payload, to be sent one after the other.

    Raises:
        LinkError: the tensor's dtype cannot be sent.
    """
    array = message.array
    shape: tuple[int, ...] = ()
    code, payload = 0, memoryview(b"")
    if array is not None:
        if str(array.dtype) not in _DTYPE_CODES:
            raise LinkError(f"a {array.dtype} tensor cannot be sent", f"the wire knows {', '.join(_DTYPE_CODES)}")
        code, shape = _DTYPE_CODES[str(array.dtype)], array.shape
        payload = np.ascontiguousarray(array).data.cast("B")
    fields = (
        MAGIC, VERSION, message.kind, message.view, message.frame, message.zero_point, message.bundle, code,
        len(shape), 0, message.scale, message.captured_ns, message.sent_ns, len(payload), zlib.crc32(payload),
    )  # fmt: skip
    head = bytearray(HEADER.pack(*fields, 0) + struct.pack(f"<{len(shape)}I", *shape))
    crc = zlib.crc32(head[HEADER_BYTES:], zlib.crc32(head[:_CRC_OFFSET]))
    struct.pack_into("<I", head, _CRC_OFFSET, crc)
    return bytes(head), payload


def rank_of(header: bytes) -> int:
    """How many dimensions follow a header, so how many more bytes complete it.

    Raises:
        LinkError: the bytes are not a header of this protocol's version.
    """
    if header[:4] != MAGIC:
        raise LinkError(f"the peer does not speak splitkit's protocol: it sent {header[:4]!r}, not {MAGIC!r}")
    if header[4] != VERSION:
        raise LinkError(f"the peer speaks version {header[4]} of the protocol, this splitkit version {VERSION}")
    rank = header[_RANK_OFFSET]
    if rank > MAX_RANK:
        raise LinkError(f"damaged header: {rank} dimensions, at most {MAX_RANK} are possible")
    return rank


def decode(head: bytes) -> Header:
    """A header with its shape.

    Raises:
        LinkError: a checksum is wrong, or a field makes no sense.
    """
    rank = rank_of(head)
    (
        _, _, kind, view, frame, zero_point, bundle, code, _, _, scale, captured_ns, sent_ns, length, payload_crc, crc,
    ) = HEADER.unpack_from(head)  # fmt: skip
    actual = zlib.crc32(head[HEADER_BYTES:], zlib.crc32(head[:_CRC_OFFSET]))
    if actual != crc:
        raise LinkError(f"damaged header: CRC-32 is {actual:08x}, it says {crc:08x}", "the link corrupts data")
    if kind not in Kind._value2member_map_:
        raise LinkError(f"unknown kind of message: {kind}")
    shape = struct.unpack_from(f"<{rank}I", head, HEADER_BYTES)
    dtype = DTYPES.get(code, "")
    if kind == Kind.TENSOR:
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize if dtype else -1
        if size != length or length > MAX_PAYLOAD_BYTES:
            raise LinkError(f"frame {frame} of view {view}: {length} bytes do not make a {dtype or code} {shape}")
    message = Message(Kind(kind), bundle, view, frame, None, scale, zero_point, captured_ns, sent_ns)
    return Header(message, dtype, shape, length, payload_crc)
