"""The frames between a sensor and an aggregator. `docs/wire.md` describes them for peers in other languages.

A message is a header of 68 bytes, then the shape (4 bytes per dimension), then the payload; all little-endian. The
header's checksum covers header and shape, so that a wrong length is noticed before it is waited for.
"""

import math
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
_ITEM_BYTES = {"uint8": 1, "float16": 2, "float32": 4}
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
class TensorType:
    """What a tensor is; as text `uint8 [1, 8, 4, 4]`."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """Size in C order, without padding."""
        return math.prod(self.shape) * _ITEM_BYTES[self.dtype]

    def __str__(self) -> str:
        return f"{self.dtype} {list(self.shape)}"


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
    """A checked header: the message without its payload, and what is still to be read.

    `tensor` is None for every kind but TENSOR; nothing follows those.
    """

    message: Message
    tensor: TensorType | None
    payload_crc: int

    @property
    def payload_bytes(self) -> int:
        """How many bytes follow."""
        return 0 if self.tensor is None else self.tensor.bytes

    def with_payload(self, payload: bytes | bytearray | memoryview) -> Message:
        """The whole message.

        Raises:
            LinkError: the payload's checksum is wrong.
        """
        m = self.message
        if self.tensor is None:
            return m
        crc = zlib.crc32(payload)
        if crc != self.payload_crc:
            raise LinkError(
                f"frame {m.frame} of view {m.view}: payload CRC-32 is {crc:08x}, "
                f"the header says {self.payload_crc:08x}",
                "the link corrupts data",
            )
        array = np.frombuffer(payload, dtype=self.tensor.dtype).reshape(self.tensor.shape)
        return Message(
            m.kind, m.bundle, m.view, m.frame, array, m.scale, m.zero_point, m.captured_ns, m.sent_ns
        )  # fmt: skip


def bundle_key(bundle_id: str) -> bytes:
    """The 16 bytes that stand for a bundle id (64 hexadecimal digits) on the wire."""
    return bytes.fromhex(bundle_id)[:16]


def encode(message: Message) -> tuple[bytes, memoryview]:
    """Header with shape, and payload, to be sent one after the other.

    Raises:
        LinkError: the tensor's dtype cannot be sent, or it is too large.
    """
    array = message.array
    shape: tuple[int, ...] = ()
    code, payload = 0, memoryview(b"")
    if array is not None:
        if str(array.dtype) not in _DTYPE_CODES:
            raise LinkError(f"a {array.dtype} tensor cannot be sent", f"the wire knows {', '.join(_DTYPE_CODES)}")
        code, shape = _DTYPE_CODES[str(array.dtype)], array.shape
        if array.nbytes > MAX_PAYLOAD_BYTES:
            raise LinkError(f"a tensor of {array.nbytes} bytes cannot be sent: {MAX_PAYLOAD_BYTES} are the most")
        payload = np.ascontiguousarray(array).data.cast("B")
    fields = (
        MAGIC, VERSION, message.kind, message.view, message.frame, message.zero_point, message.bundle, code,
        len(shape), 0, message.scale, message.captured_ns, message.sent_ns, len(payload), zlib.crc32(payload),
    )  # fmt: skip
    head = bytearray(HEADER.pack(*fields, 0) + struct.pack(f"<{len(shape)}I", *shape))
    crc = zlib.crc32(head[HEADER_BYTES:], zlib.crc32(head[:_CRC_OFFSET]))
    struct.pack_into("<I", head, _CRC_OFFSET, crc)
    return bytes(head), payload


def rank_of(header: bytes | bytearray) -> int:
    """How many dimensions follow a header, so how many more bytes complete it.

    Raises:
        LinkError: the bytes are not a header of this protocol's version.
    """
    if header[:4] != MAGIC:
        raise LinkError(f"the peer does not speak splitkit's protocol: it sent {bytes(header[:4])!r}, not {MAGIC!r}")
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
        _, _, kind, view, frame, zero_point, bundle, code, _, reserved, scale, captured_ns, sent_ns, length,
        payload_crc, crc,
    ) = HEADER.unpack_from(head)  # fmt: skip
    actual = zlib.crc32(head[HEADER_BYTES:], zlib.crc32(head[:_CRC_OFFSET]))
    if actual != crc:
        raise LinkError(f"damaged header: CRC-32 is {actual:08x}, it says {crc:08x}", "the link corrupts data")
    if kind not in Kind._value2member_map_:
        raise LinkError(f"unknown kind of message: {kind}")
    if reserved:
        raise LinkError(f"damaged header: the reserved field is {reserved}, not 0")
    message = Message(Kind(kind), bundle, view, frame, None, scale, zero_point, captured_ns, sent_ns)
    if kind != Kind.TENSOR:
        if code or rank or length or payload_crc:
            raise LinkError(f"{message.kind.name} with a tensor")
        return Header(message, None, 0)
    shape = struct.unpack_from(f"<{rank}I", head, HEADER_BYTES)
    tensor = TensorType(DTYPES[code], shape) if code in DTYPES else None
    if tensor is None or tensor.bytes != length or length > MAX_PAYLOAD_BYTES:
        what = tensor or f"tensor of dtype {code}"
        raise LinkError(f"frame {frame} of view {view}: {length} bytes do not make a {what}")
    return Header(message, tensor, payload_crc)
