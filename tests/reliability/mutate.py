"""Damage files as disks, editors and enemies do."""

import json
import random
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

WORDS = [
    b"-1", b"0", b"1e999", b"nan", b"99999999999999999999", b"true", b'""', b"[]", b"{}", b"null", b"\x00", b"\xff\xfe",
    b"\n[x]\n", b"'''", b'"../../etc/passwd"', b"${HOME}", b"__import__('os')", b"]]]]", b"[[[[", b"=",
]  # fmt: skip
VALUES: list[Any] = [
    None, True, -1, 0, 1e308, float("nan"), 10**30, "", "x", "../../x", [], {}, [[]], {"a": 1}, [None], ["x", 1],
    "é" * 99,
]  # fmt: skip


def damaged(content: bytes, count: int, seed: int) -> Iterator[bytes]:
    """`count` versions of a file's bytes, each damaged in one to three places."""
    rng = random.Random(seed)
    for _ in range(count):
        data = bytearray(content)
        for _ in range(rng.randint(1, 3)):
            _damage(data, rng)
        yield bytes(data)


def _damage(data: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(data) + 1)
    length = rng.choice([1, 1, 4, 32, len(data) // 4 + 1])
    kind = rng.randrange(6)
    if kind == 0:
        del data[at:]
    elif kind == 1:
        del data[at : at + length]
    elif kind == 2:
        data[at:at] = data[at : at + length]
    elif kind == 3:
        data[at : at + rng.choice([0, 1, 4])] = rng.choice(WORDS)
    elif kind == 4:
        data[at:at] = rng.randbytes(length)
    elif at < len(data):
        data[at] ^= 1 << rng.randrange(8)


def damaged_json(content: bytes, count: int, seed: int) -> Iterator[bytes]:
    """`count` documents that are still JSON, with one to three values replaced, removed or renamed."""
    rng = random.Random(seed)
    for _ in range(count):
        body = json.loads(content)
        for _ in range(rng.randint(1, 3)):
            body = _replaced(body, rng)
        yield json.dumps(body, indent=1).encode() + b"\n"


def _replaced(body: Any, rng: random.Random) -> Any:
    """The document with one value somewhere in it changed; deeper ones are as likely as their parents."""
    if not isinstance(body, dict | list) or not body or rng.random() < 0.1:
        return deepcopy(rng.choice(VALUES))
    key: Any = rng.choice(list(body)) if isinstance(body, dict) else rng.randrange(len(body))
    action = rng.random()
    if action < 0.1:
        del body[key]
    elif action < 0.15 and isinstance(body, dict):
        body[rng.choice(["", "x", "schema_version"])] = body.pop(key)
    else:
        body[key] = _replaced(body[key], rng)
    return body
