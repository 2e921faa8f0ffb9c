"""Random networks of pieces, of one or more inputs and outputs."""

from dataclasses import replace
from itertools import product

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from splitkit.graphs.edges import Edges
from splitkit.partition.network import Network, Piece
from splitkit.space.tensor import TensorSpec


@st.composite
def networks(draw: st.DrawFn, most: int = 8) -> Network:
    """Up to so many pieces; each writes one or two tensors, which later ones read; all lead to the last one or to
    another output. One or two inputs are captured, none or one is the aggregator's own; an output may be int64."""
    count = draw(st.integers(1, most))
    sizes = st.integers(1, 40)
    captured = [TensorSpec(name, (1, draw(sizes))) for name in ("source", "other")[: draw(st.integers(1, 2))]]
    own = [TensorSpec("own", (1, 3), "int64")] * draw(st.integers(0, 1))
    names = [tensor.name for tensor in (*captured, *own)]
    given, readers, pieces = len(names), dict[str, int](), list[Piece]()
    tensors = {tensor.name: tensor for tensor in captured}
    for i in range(count):
        last = i == count - 1
        reads = draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True))
        if last:  # whatever nobody has read
            reads += [name for name in names[given:] if name not in readers and name not in reads]
        readers |= dict.fromkeys(reads, i)
        writes = ["result"] if last else [f"t{i}{letter}" for letter in "ab"[: draw(st.integers(1, 2))]]
        for name in writes:
            tensors[name] = TensorSpec(name, (1, draw(sizes)), draw(st.sampled_from(["float32", "uint8"])))
        names += writes
        pieces.append(Piece(tuple(reads), tuple(writes)))
    written = [name for piece in pieces[:-1] for name in piece.writes]
    early = draw(st.lists(st.sampled_from(written), max_size=2, unique=True)) if written else []
    if draw(st.booleans()):
        tensors["result"] = replace(tensors["result"], dtype="int64")
    results = [tensors[name] for name in (*early, "result")]
    return Network(tuple(pieces), Edges(tuple(captured), tuple(own), tuple(results)), tensors)


def all_cuts(network: Network) -> list[NDArray[np.bool_]]:
    """Every set of pieces that can be the sensor's, by trying all: it has what they read, the link what they give."""
    sendable = {name for name, tensor in network.tensors.items() if tensor.dtype != "int64"}
    at_hand = {*network.edges.captured_names, *(name for piece in network.pieces for name in piece.writes)}
    able = np.array([{*p.reads} <= at_hand and {*p.writes} <= sendable for p in network.pieces])
    found = []
    for bits in product((False, True), repeat=len(network.pieces)):
        sensor = np.array(bits)
        needed = network.ancestors[sensor].any(axis=0) if sensor.any() else sensor
        if not (needed & ~sensor).any() and not (sensor & ~able).any():
            found.append(sensor)
    return found
