"""A network cut where it was not made to be cut: no splitting module, all channels cross the link.

The yardstick of split computing (Kang et al., "Neurosurgeon", ASPLOS 2017): a network designed without a split in mind,
cut at the best of its block boundaries.
"""

from dataclasses import dataclass, replace

from splitkit.space.architecture import Architecture
from splitkit.space.network import Network, PlacedUnit, describe
from splitkit.space.search_space import SearchSpace
from splitkit.space.tensor import TensorSpec
from splitkit.space.units import Receive, Send

AS_IT_IS = "float32"
"""What the link carries where nothing is narrowed."""


@dataclass(frozen=True, slots=True)
class PlainCut:
    """Where a chain of units is cut, and what crosses.

    Attributes:
        boundary: units on the sensor, from 0 (the image is sent) to all of them (the scores are).
        dtype: what computed features are sent as; `float32` at either end, where nothing is narrowed.
    """

    boundary: int
    dtype: str = AS_IT_IS


def uncut(space: SearchSpace, architecture: Architecture) -> Architecture:
    """The same network of one view, all on the aggregator, without a splitting module."""
    return space.canonical(replace(architecture, split=0))


def plain_cuts(space: SearchSpace, architecture: Architecture) -> list[PlainCut]:
    """Every boundary of a network with every dtype of the space's link, both ends among them, by boundary."""
    between = [PlainCut(b, dtype) for b in range(1, architecture.units) for dtype in space.link.dtypes]
    return [PlainCut(0), *between, PlainCut(architecture.units)]


def cut_plainly(space: SearchSpace, architecture: Architecture, cut: PlainCut) -> Network:
    """The units on either side of a plain cut.

    Args:
        space: of one view: several would have to be joined, and a plain cut joins nothing.
        architecture: member of the space; where it is cut by itself does not matter.
    """
    whole = describe(space, uncut(space, architecture))
    sensor, aggregator = list(whole.aggregator[: cut.boundary]), list(whole.aggregator[cut.boundary :])
    if sensor and aggregator and cut.dtype != AS_IT_IS:
        sent = _output(sensor)
        _, channels, size, _ = sent.shape
        slot = sensor[-1].slot
        sensor.append(PlacedUnit(f"{slot}.send", Send(channels, size, cut.dtype)))
        aggregator.insert(0, PlacedUnit(f"{slot}.receive", Receive(channels, size, cut.dtype)))
    return Network(tuple(sensor), tuple(aggregator), 1, whole.image)


def _output(chain: list[PlacedUnit]) -> TensorSpec:
    last = chain[-1].unit
    return last.operators(last.input_tensors(), chain[-1].slot)[-1].output
