"""Sessions as they pass over a link, and what disks, cables and enemies make of them."""

import random
import struct
import zlib
from collections.abc import Callable, Iterator

import numpy as np

from splitkit.runtime.wire import HEADER_BYTES, Kind, Message, TensorType, encode

KEY = bytes(range(16))
LINK = TensorType("uint8", (1, 100))
FRAMES = 3

Session = list[bytes]
"""Messages of one side, each with its payload."""


def sensor_session() -> Session:
    """What a sensor sends of three frames."""
    rng = np.random.default_rng(0)
    arrays = [rng.integers(0, 256, LINK.shape, np.uint8) for _ in range(FRAMES)]
    tensors = [Message(Kind.TENSOR, KEY, 0, n, array, 0.5, 128, 1000 + n, 2000 + n) for n, array in enumerate(arrays)]
    return [_whole(message) for message in (Message(Kind.HELLO, KEY), *tensors)]


def aggregator_session() -> Session:
    """What it is answered."""
    captures = [Message(Kind.CAPTURE, KEY, 0, n) for n in range(FRAMES)]
    return [_whole(message) for message in (Message(Kind.WELCOME, KEY), *captures, Message(Kind.END, KEY))]


def _whole(message: Message) -> bytes:
    head, payload = encode(message)
    return head + bytes(payload)


def damaged(session: Session, count: int, seed: int) -> Iterator[bytes]:
    """`count` streams, each the session with one to three kinds of damage."""
    rng = random.Random(seed)
    for _ in range(count):
        messages = [bytearray(message) for message in session]
        for _ in range(rng.choice((1, 1, 2, 3))):
            if messages:
                rng.choice(DAMAGES)(messages, rng)
        stream = b"".join(messages)
        yield stream[: rng.randrange(len(stream) + 1)] if rng.random() < 0.1 else stream


Messages = list[bytearray]

# offset and form of every field of a header, checksum excepted
FIELDS = [
    (0, "<I"), (4, "<B"), (5, "<B"), (6, "<H"), (8, "<I"), (12, "<i"), (16, "<Q"), (32, "<B"), (33, "<B"), (34, "<H"),
    (36, "<I"), (40, "<Q"), (48, "<Q"), (56, "<I"), (60, "<I"),
]  # fmt: skip
EXTREMES = [0, 1, 2, 7, 8, 9, 99, 100, 101, 127, 128, 255, 2**15, 2**16, 2**28, 2**31, 2**32, 2**63, 2**64]


def _flip(messages: Messages, rng: random.Random) -> None:
    message = rng.choice(messages)
    if message:
        message[rng.randrange(len(message))] ^= 1 << rng.randrange(8)


def _set_field(messages: Messages, rng: random.Random) -> None:
    """An extreme value in a header's field; mostly with a checksum that is right, or nothing else would be reached."""
    message = rng.choice(messages)
    if len(message) < HEADER_BYTES:
        return
    offset, form = rng.choice(FIELDS)
    bits = 8 * struct.calcsize(form)
    value = (rng.choice(EXTREMES) + rng.choice((-1, 0, 0, 1))) % 2**bits
    struct.pack_into(form.upper(), message, offset, value)
    if rng.random() < 0.8:
        _seal(message)


def _set_shape(messages: Messages, rng: random.Random) -> None:
    """A rank and a shape that are possible, if large; the length is often what they come to, modulo 2^32."""
    message = rng.choice(messages)
    if len(message) < HEADER_BYTES:
        return
    shape = [(rng.choice(EXTREMES) + rng.choice((-1, 0, 1))) % 2**32 for _ in range(rng.randrange(9))]
    message[33] = len(shape)
    message[HEADER_BYTES:HEADER_BYTES] = struct.pack(f"<{len(shape)}I", *shape)
    if rng.random() < 0.7:
        size = 1
        for extent in shape:
            size = size * extent % 2**32
        struct.pack_into("<I", message, 56, size)
    _seal(message)


def _seal(message: bytearray) -> None:
    rank = min(message[33], (len(message) - HEADER_BYTES) // 4)
    shape = message[HEADER_BYTES : HEADER_BYTES + 4 * rank]
    struct.pack_into("<I", message, 64, zlib.crc32(shape, zlib.crc32(message[:64])))


def _cut(messages: Messages, rng: random.Random) -> None:
    message = rng.choice(messages)
    del message[rng.randrange(len(message) + 1) :]


def _insert(messages: Messages, rng: random.Random) -> None:
    message = rng.choice(messages)
    at = rng.randrange(len(message) + 1)
    message[at:at] = rng.randbytes(rng.choice((1, 4, 68, 500)))


def _repeat(messages: Messages, rng: random.Random) -> None:
    messages.insert(rng.randrange(len(messages) + 1), bytearray(rng.choice(messages)))


def _leave_out(messages: Messages, rng: random.Random) -> None:
    del messages[rng.randrange(len(messages))]


def _reorder(messages: Messages, rng: random.Random) -> None:
    rng.shuffle(messages)


def _other_kind(messages: Messages, rng: random.Random) -> None:
    message = rng.choice(messages)
    if len(message) >= HEADER_BYTES:
        message[5] = rng.randrange(8)
        _seal(message)


def _noise(messages: Messages, rng: random.Random) -> None:
    messages[rng.randrange(len(messages))] = bytearray(
        rng.choice((rng.randbytes(200), b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00", b"SPLK" * 40))
    )


DAMAGES: list[Callable[[Messages, random.Random], None]] = [
    _flip, _set_field, _set_field, _set_shape, _cut, _insert, _repeat, _leave_out, _reorder, _other_kind, _noise,
]  # fmt: skip
