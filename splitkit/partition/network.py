"""A model as pieces that go to one side or the other: what the compiler runs together stays together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from graphlib import TopologicalSorter
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from splitkit.graphs.edges import SENDABLE, Edges
from splitkit.space.tensor import TensorSpec

if TYPE_CHECKING:
    from splitkit.compiler.frontend import LoweredPart

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Piece:
    """Operators that stay together.

    Attributes:
        reads: tensors of other pieces, or the model's inputs.
        writes: tensors that other pieces or the caller need.
    """

    reads: tuple[str, ...]
    writes: tuple[str, ...]


@dataclass(frozen=True)
class Network:
    """Pieces in an order in which every tensor is written before it is read.

    Attributes:
        edges: the model's inputs and outputs.
        tensors: every tensor that may cross from one side to the other, by name: between pieces, captured, and results.
        link_dtype: what float32 tensors between pieces are sent as.
    """

    pieces: tuple[Piece, ...]
    edges: Edges
    tensors: Mapping[str, TensorSpec]
    link_dtype: str = "float32"

    @classmethod
    def of(
        cls,
        parts: "Sequence[LoweredPart]",
        known: Mapping[str, TensorSpec],
        edges: Edges,
        link_dtype: str = "float32",
    ) -> tuple[Self, tuple[int, ...]]:
        """The network of a compiled model, and by part the number of the piece that it belongs to.

        Parts that a tensor joins which cannot be sent, or which the model itself does not name, are one piece.

        Args:
            parts: as the exporter lowers the model.
            known: tensors of the model, by name.
            edges: of the model.
        """
        inputs = {*edges.captured_names, *edges.own_names}
        sendable = {name for name, tensor in known.items() if tensor.dtype in SENDABLE}
        writer = {name: i for i, part in enumerate(parts) for name in part.writes}
        needs = [[writer[name] for name in part.reads if name in writer] for part in parts]
        unsendable = [(i, name) for i, part in enumerate(parts) for name in part.reads if name not in sendable]
        piece_of = _kept_together(needs, [(writer[name], i) for i, name in unsendable if name in writer])
        pieces = []
        for number in range(max(piece_of) + 1):
            members = [part for part, piece in zip(parts, piece_of, strict=True) if piece == number]
            own = {name for part in members for name in part.writes}
            reads = dict.fromkeys(name for part in members for name in part.reads if name not in own)
            pieces.append(Piece(tuple(reads), tuple(sorted(own))))
        used = {name for piece in pieces for name in piece.reads} | {*edges.result_names}
        pieces = [Piece(piece.reads, tuple(name for name in piece.writes if name in used)) for piece in pieces]
        written = {name for piece in pieces for name in piece.writes}
        assert all(name in written or name in inputs for piece in pieces for name in piece.reads)
        tensors = {name: known[name] for piece in pieces for name in piece.writes if name in sendable}
        tensors |= {tensor.name: tensor for tensor in (*edges.captured, *edges.results) if tensor not in edges.own}
        return cls(tuple(pieces), edges, tensors, link_dtype), piece_of

    def sent(self, name: str) -> TensorSpec:
        """What crosses for a tensor; the model's own inputs and outputs cross as they are."""
        return self.edges.sent(self.tensors[name], self.link_dtype)

    @cached_property
    def writer(self) -> dict[str, int]:
        """The piece that writes each tensor."""
        return {name: i for i, piece in enumerate(self.pieces) for name in piece.writes}

    @cached_property
    def readers(self) -> dict[str, tuple[int, ...]]:
        """The pieces that read each tensor."""
        found: dict[str, list[int]] = {}
        for i, piece in enumerate(self.pieces):
            for name in piece.reads:
                found.setdefault(name, []).append(i)
        return {name: tuple(pieces) for name, pieces in found.items()}

    @cached_property
    def ancestors(self) -> Bools:
        """Row i: the pieces that piece i needs, itself among them; (pieces, pieces)."""
        found = np.eye(len(self.pieces), dtype=np.bool_)
        for i, piece in enumerate(self.pieces):
            for name in piece.reads:
                if name in self.writer:
                    found[i] |= found[self.writer[name]]
        return found

    @cached_property
    def aggregators(self) -> Bools:
        """Pieces that the sensor cannot have, (pieces,): they need an input of the aggregator's own, or give an output
        that no link carries, or need one of these."""
        found = np.zeros(len(self.pieces), dtype=np.bool_)
        unsendable = {tensor.name for tensor in self.edges.results if tensor.dtype not in SENDABLE}
        for i, piece in enumerate(self.pieces):
            needs = any(name in self.writer and found[self.writer[name]] for name in piece.reads)
            found[i] = needs or not {*self.edges.own_names}.isdisjoint(piece.reads)
            found[i] |= not unsendable.isdisjoint(piece.writes)
        return found

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Tensors that may cross: those that pieces write, in order, then the inputs that the sensor has."""
        return (*(name for piece in self.pieces for name in piece.writes), *self.edges.captured_names)

    def crossing(self, sensor: Bools) -> Bools:
        """Which of `names` cross if the sensor has these pieces: (cuts, pieces) -> (cuts, names).

        What the aggregator reads of the sensor's and of the captured inputs does; results where the sensor has them.
        """
        found = np.zeros((len(sensor), len(self.names)), dtype=np.bool_)
        for column, name in enumerate(self.names):
            wanted = np.zeros(len(sensor), dtype=np.bool_)
            for reader in self.readers.get(name, ()):
                wanted |= ~sensor[:, reader]
            if name in self.edges.result_names:
                wanted[:] = True
            found[:, column] = wanted & sensor[:, self.writer[name]] if name in self.writer else wanted
        return found

    @cached_property
    def bytes(self) -> NDArray[np.int64]:
        """Of each of `names`, (names,)."""
        return np.array([self.sent(name).bytes for name in self.names], dtype=np.int64)


def _kept_together(needs: Sequence[Sequence[int]], bound: Sequence[tuple[int, int]]) -> tuple[int, ...]:
    """By part the number of the piece that it belongs to; each piece comes after those it needs.

    Args:
        needs: the parts that each part reads from.
        bound: pairs (writer, reader) that may not be separated.
    """
    # A part follows whoever it needs to the sensor; the parts of a bound pair follow each other. Who follows each
    # other in a circle goes together.
    follows = [(i, j) for i, before in enumerate(needs) for j in before] + [*bound]
    count = len(needs)
    rows, columns = zip(*follows, strict=True) if follows else ((), ())
    links = coo_array((np.ones(len(rows)), (rows, columns)), shape=(count, count))
    _, label = connected_components(links, connection="strong")
    first = {piece: i for i, piece in reversed(list(enumerate(label.tolist())))}
    waits: dict[int, set[int]] = {piece: set() for piece in first}
    for i, before in enumerate(needs):
        waits[int(label[i])] |= {int(label[j]) for j in before} - {int(label[i])}
    sorter, ready, order = TopologicalSorter(waits), list[tuple[int, int]](), dict[int, int]()
    sorter.prepare()
    while sorter.is_active():
        for piece in sorter.get_ready():
            heappush(ready, (first[piece], piece))
        _, piece = heappop(ready)
        order[piece] = len(order)
        sorter.done(piece)
    return tuple(order[int(piece)] for piece in label)
