"""Random networks of pieces."""

from itertools import product

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from splitkit.partition.network import Network, Piece
from splitkit.space.tensor import TensorSpec


@st.composite
def networks(draw: st.DrawFn, most: int = 8) -> Network:
    """Up to so many pieces; each writes one or two tensors, which later ones read; all lead to the last one."""
    count = draw(st.integers(1, most))
    sizes = st.integers(1, 40)
    source = TensorSpec("source", (1, draw(sizes)))
    names, readers, pieces, tensors = ["source"], dict[str, int](), list[Piece](), {"source": source}
    for i in range(count):
        last = i == count - 1
        reads = draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True))
        if last:  # whatever nobody has read
            reads += [name for name in names[1:] if name not in readers and name not in reads]
        readers |= dict.fromkeys(reads, i)
        writes = ["result"] if last else [f"t{i}{letter}" for letter in "ab"[: draw(st.integers(1, 2))]]
        for name in writes:
            tensors[name] = TensorSpec(name, (1, draw(sizes)), draw(st.sampled_from(["float32", "uint8"])))
        names += writes
        pieces.append(Piece(tuple(reads), tuple(writes)))
    return Network(tuple(pieces), source, tensors["result"], tensors)


def all_cuts(network: Network) -> list[NDArray[np.bool_]]:
    """Every set of pieces that can be the sensor's, by trying all."""
    found = []
    for bits in product((False, True), repeat=len(network.pieces)):
        sensor = np.array(bits)
        needed = network.ancestors[sensor].any(axis=0) if sensor.any() else sensor
        if not (needed & ~sensor).any():
            found.append(sensor)
    return found
