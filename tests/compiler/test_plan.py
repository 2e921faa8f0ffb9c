"""The arena: buffers that live at the same time never overlap, and memory is reused."""

from hypothesis import given
from hypothesis import strategies as st

from splitkit.compiler.arena import ALIGNMENT, Block, aligned, place


@st.composite
def blocks(draw: st.DrawFn) -> list[Block]:
    count = draw(st.integers(0, 12))
    found = []
    for i in range(count):
        first = draw(st.integers(0, 10))
        found.append(Block(f"b{i}", draw(st.integers(1, 1000)), first, first + draw(st.integers(0, 5))))
    return found


@given(blocks())
def test_blocks_that_live_together_do_not_overlap(wanted: list[Block]) -> None:
    offsets, total = place(wanted)
    for i, a in enumerate(wanted):
        assert offsets[a.name] % ALIGNMENT == 0
        assert offsets[a.name] + a.bytes <= total
        for b in wanted[:i]:
            if a.first <= b.last and b.first <= a.last:
                assert offsets[a.name] + a.bytes <= offsets[b.name] or offsets[b.name] + b.bytes <= offsets[a.name]


@given(blocks())
def test_the_arena_is_no_larger_than_everything_side_by_side(wanted: list[Block]) -> None:
    assert place(wanted)[1] <= sum(aligned(b.bytes) for b in wanted)


def test_a_chain_needs_its_two_largest_neighbours_only() -> None:
    sizes = [640, 1280, 320, 640, 64]
    chain = [Block(str(i), size, i, i + 1) for i, size in enumerate(sizes)]
    assert place(chain)[1] == 640 + 1280
