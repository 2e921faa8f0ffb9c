import math
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitkit.errors import LinkError
from splitkit.runtime.wire import HEADER_BYTES, MAX_PAYLOAD_BYTES, Kind, Message, bundle_key, decode, encode, rank_of

KEY = bytes(range(16))


def tensor(dtype: str, shape: tuple[int, ...], frame: int = 7, view: int = 2) -> Message:
    array = (np.arange(np.prod(shape)) % 251).astype(dtype).reshape(shape)
    return Message(Kind.TENSOR, KEY, view, frame, array, 0.03125, 128, 10**15, 10**15 + 5)


@given(
    dtype=st.sampled_from(["uint8", "float16", "float32"]),
    shape=st.lists(st.integers(1, 5), min_size=1, max_size=4).map(tuple),
    frame=st.integers(0, 2**32 - 1),
    view=st.integers(0, 2**16 - 1),
)
def test_tensors_arrive_as_they_were_sent(dtype: str, shape: tuple[int, ...], frame: int, view: int) -> None:
    sent = tensor(dtype, shape, frame, view)
    head, payload = encode(sent)
    got = decode(head).with_payload(payload)
    assert got.array is not None
    assert got.array.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(got.array, sent.array)
    for field in ("kind", "bundle", "view", "frame", "scale", "zero_point", "captured_ns", "sent_ns"):
        assert getattr(got, field) == getattr(sent, field)


def read(frame: bytearray, head_bytes: int) -> Message:
    """A message as a receiver reads it, which trusts the rank it was sent."""
    header = decode(bytes(frame[: HEADER_BYTES + 4 * rank_of(bytes(frame))]))
    return header.with_payload(frame[head_bytes:])


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind != Kind.TENSOR])
def test_messages_without_a_tensor_are_a_header(kind: Kind) -> None:
    head, payload = encode(Message(kind, KEY, 1, 3))
    assert len(head) == HEADER_BYTES == 68
    assert len(payload) == 0
    assert decode(head).message == Message(kind, KEY, 1, 3)


@given(position=st.integers(0, 68 + 4 * 4 + 24 - 1), bit=st.integers(0, 7))
def test_any_flipped_bit_is_noticed(position: int, bit: int) -> None:
    head, payload = encode(tensor("uint8", (1, 2, 3, 4)))
    frame = bytearray(head + bytes(payload))
    frame[position] ^= 1 << bit
    with pytest.raises(LinkError):
        read(frame, len(head))


def test_damaged_payload_names_frame_and_view() -> None:
    head, payload = encode(tensor("uint8", (1, 4)))
    with pytest.raises(LinkError, match=r"frame 7 of view 2: payload CRC-32 is [0-9a-f]{8}, the header says"):
        decode(head).with_payload(bytes(payload)[:-1] + b"\xff")


def test_other_protocols_and_versions_are_named() -> None:
    with pytest.raises(LinkError, match="does not speak splitkit's protocol"):
        rank_of(b"GET / HTTP/1.1\r\n".ljust(HEADER_BYTES))
    head, _ = encode(Message(Kind.HELLO, KEY))
    with pytest.raises(LinkError, match="version 9"):
        rank_of(head[:4] + b"\x09" + head[5:])


def test_header_lies_as_documented() -> None:
    """A peer written from docs/wire.md alone."""
    head, payload = encode(tensor("float16", (1, 4, 2, 2)))
    assert head[:6] == b"SPLK\x01\x05"
    assert struct.unpack_from("<HIi", head, 6) == (2, 7, 128)
    assert head[16:32] == KEY
    assert struct.unpack_from("<BBHf", head, 32) == (2, 4, 0, 0.03125)
    assert struct.unpack_from("<QQ", head, 40) == (10**15, 10**15 + 5)
    assert struct.unpack_from("<II", head, 56) == (32, zlib.crc32(payload))
    assert struct.unpack_from("<I", head, 64)[0] == zlib.crc32(head[:64] + head[68:])
    assert struct.unpack_from("<4I", head, 68) == (1, 4, 2, 2)


def test_other_dtypes_cannot_be_sent() -> None:
    with pytest.raises(LinkError, match="a float64 tensor cannot be sent"):
        encode(Message(Kind.TENSOR, KEY, array=np.zeros(3)))


def resealed(head: bytes, offset: int, field: str, value: int) -> bytes:
    """A header with one field changed and the checksum put right, as an enemy sends it."""
    changed = bytearray(head)
    struct.pack_into(field, changed, offset, value)
    struct.pack_into("<I", changed, 64, zlib.crc32(changed[68:], zlib.crc32(changed[:64])))
    return bytes(changed)


LENGTH, DTYPE, RANK, RESERVED, PAYLOAD_CRC = (56, "<I"), (32, "<B"), (33, "<B"), (34, "<H"), (60, "<I")


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind != Kind.TENSOR])
@pytest.mark.parametrize(("field", "value"), [(LENGTH, 2**32 - 1), (LENGTH, 1), (DTYPE, 1), (PAYLOAD_CRC, 1)])
def test_only_tensors_have_a_payload(kind: Kind, field: tuple[int, str], value: int) -> None:
    head, _ = encode(Message(kind, KEY, 1, 3))
    with pytest.raises(LinkError, match=f"{kind.name} with a tensor"):
        decode(resealed(head, *field, value))


def test_a_shape_without_a_tensor_is_refused() -> None:
    head, _ = encode(Message(Kind.HELLO, KEY))
    with pytest.raises(LinkError, match="HELLO with a tensor"):
        decode(resealed(head + struct.pack("<2I", 2**31, 2**31), *RANK, 2))


@pytest.mark.parametrize(
    "shape", [(2**32 - 1,) * 8, (2**16,) * 4, (2**31, 2**31, 4), (2**32 - 1, 2**32 - 1, 0), (2**28 + 1,)]
)
def test_no_shape_overflows(shape: tuple[int, ...]) -> None:
    """In 64 bits the second and third come to nothing, which the length would match."""
    head, _ = encode(tensor("uint8", (1,) * len(shape)))
    stretched = head[:68] + struct.pack(f"<{len(shape)}I", *shape)
    for length in (0, 1, math.prod(shape) % 2**32):
        if length != math.prod(shape) or length > MAX_PAYLOAD_BYTES:
            with pytest.raises(LinkError, match="bytes do not make a uint8"):
                decode(resealed(stretched, *LENGTH, length))


@pytest.mark.parametrize("code", [0, 4, 255])
def test_unknown_dtypes_are_refused(code: int) -> None:
    head, _ = encode(tensor("uint8", (1, 4)))
    with pytest.raises(LinkError, match=f"4 bytes do not make a tensor of dtype {code}"):
        decode(resealed(head, *DTYPE, code))


def test_the_reserved_field_is_zero() -> None:
    head, _ = encode(Message(Kind.HELLO, KEY))
    with pytest.raises(LinkError, match="the reserved field is 7"):
        decode(resealed(head, *RESERVED, 7))


def test_bundle_key_is_the_first_half_of_the_id() -> None:
    assert bundle_key("ab" * 32) == b"\xab" * 16
