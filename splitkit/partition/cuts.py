"""Where a network can be cut: sets of pieces for the sensor that nothing on the aggregator is needed for."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from splitkit.partition.network import Bools, Network


@dataclass(frozen=True)
class Cut:
    """One way to share the pieces.

    Attributes:
        sensor: whether each piece is the sensor's, (pieces,).
        crossing: what the sensor sends: computed tensors in order, then the model's input if the aggregator reads it.
        payload_bytes: of all of them.
    """

    sensor: Bools
    crossing: tuple[str, ...]
    payload_bytes: int

    @classmethod
    def of(cls, network: Network, sensor: Bools) -> "Cut":
        """The cut that gives these pieces to the sensor."""
        crossing = network.crossing(sensor)
        return cls(sensor, crossing, network.payload_bytes(crossing))

    @property
    def placement(self) -> str:
        """`aggregator`, `sensor` or `split`."""
        return "sensor" if self.sensor.all() else "split" if self.sensor.any() else "aggregator"


def list_cuts(network: Network, most_tensors: int = 4) -> list[Cut]:
    """Cuts with at most so many tensors crossing, by how many pieces they give to the sensor.

    All that end with a piece (it, and what it needs, is the sensor's), and all that go through the pieces in their
    order and stop; those in which branches stop at different depths are not all listed. Both whole-on-one-side ways
    are among them. What `least_cost` finds may be none of these.
    """
    found: dict[bytes, Cut] = {}
    for sensor in _candidates(network):
        key = np.packbits(sensor).tobytes()
        if key not in found:
            found[key] = Cut.of(network, sensor)
    cuts = sorted(found.values(), key=lambda cut: int(cut.sensor.sum()))
    return [cut for cut in cuts if len(cut.crossing) <= most_tensors or cut.placement != "split"]


def _candidates(network: Network) -> Iterator[Bools]:
    count = len(network.pieces)
    yield np.zeros(count, dtype=np.bool_)
    for i in range(count):
        yield network.ancestors[i]
        yield np.arange(count) <= i
