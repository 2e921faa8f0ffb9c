"""Where a network can be cut: sets of pieces for the sensor that nothing on the aggregator is needed for."""

from dataclasses import dataclass

import numpy as np

from splitkit.partition.network import Bools, Network


@dataclass(frozen=True)
class Cut:
    """One way to share the pieces.

    Attributes:
        sensor: whether each piece is the sensor's, (pieces,).
        crossing: what the sensor sends: computed tensors in order, then those of the model's inputs that the aggregator
            reads of it.
        payload_bytes: of all of them.
    """

    sensor: Bools
    crossing: tuple[str, ...]
    payload_bytes: int

    @property
    def placement(self) -> str:
        """`aggregator`, `sensor` or `split`."""
        return "sensor" if self.sensor.all() else "split" if self.sensor.any() else "aggregator"


def cuts_of(network: Network, sensor: Bools, most_tensors: int | None = None) -> list[Cut]:
    """The cuts that give these pieces, (cuts, pieces), to the sensor; splits that send more tensors are left out."""
    crossing = network.crossing(sensor)
    payload, held = crossing @ network.bytes, sensor.sum(axis=1)
    kept = (held == 0) | (held == len(network.pieces))
    kept |= True if most_tensors is None else crossing.sum(axis=1) <= most_tensors
    return [
        Cut(sensor[i], tuple(network.names[j] for j in np.flatnonzero(crossing[i])), int(payload[i]))
        for i in np.flatnonzero(kept)
    ]


def list_cuts(network: Network, most_tensors: int = 4) -> list[Cut]:
    """Cuts with at most so many tensors crossing, by how many pieces they give to the sensor.

    All that end with a piece (it, and what it needs, is the sensor's), and all that go through the pieces in their
    order and stop; those in which branches stop at different depths are not all listed. Both ways that leave everything
    to one side are among them, the sensor only where no piece is the aggregator's in any case. What `least_cost` finds
    may be none of these.
    """
    count = len(network.pieces)
    nothing, in_order = np.zeros((1, count), dtype=np.bool_), np.tri(count, dtype=np.bool_)
    sensor = np.concatenate([nothing, network.ancestors, in_order]) & ~network.aggregators
    _, first = np.unique(np.packbits(sensor, axis=1), axis=0, return_index=True)
    distinct = sensor[np.sort(first)]
    return cuts_of(network, distinct[np.argsort(distinct.sum(axis=1), kind="stable")], most_tensors)


def least_memory(network: Network, cut: Cut) -> int:
    """Bytes without which the sensor cannot do its part: its largest tensor."""
    held = {name for i in np.flatnonzero(cut.sensor) for name in (*network.pieces[i].reads, *network.pieces[i].writes)}
    return max((network.tensors[name].bytes for name in held if name in network.tensors), default=0)
