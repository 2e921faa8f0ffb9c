"""A model as pieces that go to one side or the other: what the compiler runs together stays together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from graphlib import TopologicalSorter
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from splitkit.space.tensor import TensorSpec

if TYPE_CHECKING:
    from splitkit.compiler.frontend import LoweredPart

Bools = NDArray[np.bool_]

SENDABLE = frozenset({"uint8", "float16", "float32"})
"""dtypes that a link carries."""


@dataclass(frozen=True)
class Piece:
    """Operators that stay together.

    Attributes:
        reads: tensors of other pieces, or the model's input.
        writes: tensors that other pieces or the caller need.
    """

    reads: tuple[str, ...]
    writes: tuple[str, ...]


@dataclass(frozen=True)
class Network:
    """Pieces in an order in which every tensor is written before it is read.

    Attributes:
        source, result: the model's input and output.
        tensors: every tensor between pieces that may cross from one side to the other, by name.
        link_dtype: what float32 tensors between pieces are sent as.
    """

    pieces: tuple[Piece, ...]
    source: TensorSpec
    result: TensorSpec
    tensors: Mapping[str, TensorSpec]
    link_dtype: str = "float32"

    @classmethod
    def of(
        cls,
        parts: "Sequence[LoweredPart]",
        known: Mapping[str, TensorSpec],
        source: TensorSpec,
        result: TensorSpec,
        link_dtype: str = "float32",
    ) -> tuple[Self, tuple[int, ...]]:
        """The network of a compiled model, and by part the number of the piece that it belongs to.

        Parts that a tensor joins which cannot be sent, or which the model itself does not name, are one piece.

        Args:
            parts: as the exporter lowers the model.
            known: tensors of the model, by name.
        """
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
        used = {name for piece in pieces for name in piece.reads} | {result.name}
        pieces = [Piece(piece.reads, tuple(name for name in piece.writes if name in used)) for piece in pieces]
        written = {name for piece in pieces for name in piece.writes}
        assert all(name in written or name == source.name for piece in pieces for name in piece.reads)
        tensors = {name: known[name] for piece in pieces for name in piece.writes if name in sendable}
        tensors |= {source.name: source, result.name: result}
        return cls(tuple(pieces), source, result, tensors, link_dtype), piece_of

    def sent(self, name: str) -> TensorSpec:
        """What crosses for a tensor; the model's own input and output cross as they are."""
        tensor = self.tensors[name]
        as_it_is = tensor.dtype != "float32" or name in (self.source.name, self.result.name)
        return tensor if as_it_is else replace(tensor, dtype=self.link_dtype)

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
    def names(self) -> tuple[str, ...]:
        """Tensors that may cross: those that pieces write, in order, then the input."""
        return (*(name for piece in self.pieces for name in piece.writes), self.source.name)

    def crossing(self, sensor: Bools) -> Bools:
        """Which of `names` cross if the sensor has these pieces: (cuts, pieces) -> (cuts, names).

        What the aggregator reads of the sensor's and of the input does; the result where the sensor computes it.
        """
        found = np.zeros((len(sensor), len(self.names)), dtype=np.bool_)
        for column, name in enumerate(self.names):
            wanted = np.zeros(len(sensor), dtype=np.bool_)
            for reader in self.readers.get(name, ()):
                wanted |= ~sensor[:, reader]
            if name == self.result.name:
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
