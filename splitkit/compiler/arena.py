"""Where every buffer of a program lies: one arena, offsets by liveness, biggest buffers first.

Greedy by size (Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net Inference", 2020, section 4.3): take
buffers from the largest down, put each at the lowest offset where it overlaps no buffer that lives at the same time,
choosing the tightest gap.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from splitkit.compiler.program import Program

ALIGNMENT = 64
"""Bytes; a cache line, and the widest vector."""


def aligned(size: int, alignment: int = ALIGNMENT) -> int:
    """`size` rounded up to the alignment."""
    return -(-size // alignment) * alignment


@dataclass(frozen=True)
class Block:
    """Memory that is needed from call `first` to call `last`, both included."""

    name: str
    bytes: int
    first: int
    last: int


@dataclass(frozen=True)
class Plan:
    """Byte offset of every buffer that owns arena memory, of every call's workspace, and the arena's size.

    `blocks` are all of these with the calls they live through.
    """

    offsets: Mapping[str, int]
    workspaces: Mapping[int, int]
    arena_bytes: int
    blocks: tuple[Block, ...]


def plan_memory(program: Program, workspaces: Mapping[int, int], alignment: int = ALIGNMENT) -> Plan:
    """Plan the arena. `workspaces` is the size of each call's workspace in bytes; the caller's buffers stay outside."""
    outside = {program.root(n)[0].name for n in (*program.inputs, *program.outputs)}
    spans: dict[str, tuple[int, int]] = {}
    for index, call in enumerate(program.calls):
        for name in (*call.reads, call.writes):
            root = program.root(name)[0].name
            if root not in outside:
                first, _ = spans.get(root, (index, index))
                spans[root] = (first, index)
    blocks = [Block(n, program.buffers[n].bytes, first, last) for n, (first, last) in spans.items()]
    blocks += [Block(f"workspace {i}", size, i, i) for i, size in workspaces.items() if size]
    offsets, total = place(blocks, alignment)
    return Plan(
        {b.name: offsets[b.name] for b in blocks if b.name in spans},
        {i: offsets[f"workspace {i}"] for i, size in workspaces.items() if size},
        total,
        tuple(blocks),
    )


def place(blocks: Sequence[Block], alignment: int = ALIGNMENT) -> tuple[dict[str, int], int]:
    """Offsets by name, and the total size."""
    offsets: dict[str, int] = {}
    placed: list[tuple[int, int, Block]] = []  # start, end, block
    for block in sorted(blocks, key=lambda b: (-b.bytes, b.first, b.name)):
        size = aligned(block.bytes, alignment)
        at, tightest, end = None, None, 0
        for start, stop, _ in sorted((p for p in placed if _overlap(p[2], block)), key=lambda p: p[0]):
            gap = start - end
            if gap >= size and (tightest is None or gap < tightest):
                at, tightest = end, gap
            end = max(end, stop)
        start = end if at is None else at
        offsets[block.name] = start
        placed.append((start, start + size, block))
    return offsets, max((stop for _, stop, _ in placed), default=0)


def _overlap(a: Block, b: Block) -> bool:
    return a.first <= b.last and b.first <= a.last
