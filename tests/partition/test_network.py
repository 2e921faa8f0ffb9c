"""Pieces of a model: what stays together, and in which order."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from splitkit.compiler.frontend import LoweredPart
from splitkit.graphs.edges import Edges
from splitkit.partition.network import Network
from splitkit.space.tensor import TensorSpec

SOURCE, RESULT = TensorSpec("source", (1, 3)), TensorSpec("result", (1, 2))
EDGES = Edges((SOURCE,), (), (RESULT,))


@st.composite
def lowered(draw: st.DrawFn) -> tuple[list[LoweredPart], dict[str, TensorSpec]]:
    """Parts as a compiler lists them, and the model's tensors, of which some cannot be sent or have no name in it."""
    names, parts, known = ["source"], list[LoweredPart](), {"source": SOURCE, "result": RESULT}
    count = draw(st.integers(1, 9))
    for i in range(count):
        reads = draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True))
        last = i == count - 1
        if last:
            used = {name for part in parts for name in part.reads}
            reads += [name for name in names[1:] if name not in used and name not in reads]
        writes = ("result",) if last else tuple(f"t{i}{letter}" for letter in "ab"[: draw(st.integers(1, 2))])
        for name in writes:
            dtype = draw(st.sampled_from(["float32", "uint8", "int64", ""]))
            if dtype and name != "result":
                known[name] = TensorSpec(name, (1, i + 1), dtype)
        names += writes
        parts.append(LoweredPart(tuple(reads), writes, ()))
    return parts, known


@given(lowered())
def test_pieces_are_the_parts_between_tensors_that_can_be_sent(
    given: tuple[list[LoweredPart], dict[str, TensorSpec]],
) -> None:
    parts, known = given
    network, piece_of = Network.of(parts, known, EDGES)
    assert len(piece_of) == len(parts)
    assert set(piece_of) == set(range(len(network.pieces)))
    sendable = {name for name, tensor in known.items() if tensor.dtype in ("float32", "uint8")}
    for piece in network.pieces:
        assert {*piece.reads, *piece.writes} <= sendable
    written = {"source"}
    for piece in network.pieces:  # in an order in which they can run
        assert set(piece.reads) <= written
        written |= set(piece.writes)
    assert "result" in written
    # No two pieces could be one more: whatever is together is so for a reason.
    writer = {name: i for i, part in enumerate(parts) for name in part.writes}
    follows = np.eye(len(parts), dtype=np.bool_)
    for i, part in enumerate(parts):
        for name in part.reads:
            if name in writer:
                follows[i, writer[name]] = True
                follows[writer[name], i] |= name not in sendable
    for _ in parts:
        follows = follows | (follows.astype(int) @ follows.astype(int) > 0)
    for i, piece in enumerate(piece_of):
        for j, other in enumerate(piece_of):
            assert (piece == other) == bool(follows[i, j] and follows[j, i])
