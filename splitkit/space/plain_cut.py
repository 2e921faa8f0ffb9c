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
    """The same network all on the aggregator: of one view without a splitting module, else joining views as it does."""
    return space.canonical(replace(architecture, split=0))


def plain_cuts(space: SearchSpace, architecture: Architecture) -> list[PlainCut]:
    """Every boundary at which a network can be cut, with every dtype of the space's link, by boundary.

    That all is on the aggregator is among them, and of one view that all is on the sensor. Several views are cut
    before they are joined.
    """
    last = architecture.units - 1 if space.views == 1 else architecture.fuse
    between = [PlainCut(b, dtype) for b in range(1, last + 1) for dtype in space.link.dtypes]
    return [PlainCut(0), *between, *([PlainCut(architecture.units)] if space.views == 1 else [])]


def cut_plainly(space: SearchSpace, architecture: Architecture, cut: PlainCut) -> Network:
    """The units on either side of one of a network's plain cuts.

    Args:
        architecture: member of the space; where it is cut by itself does not matter.
    """
    whole = uncut(space, architecture)
    chain = describe(space, whole).aggregator
    one_view = chain if space.views == 1 else describe(space, replace(whole, split=whole.fuse)).sensor
    sensor, aggregator = list(one_view[: cut.boundary]), list(chain[cut.boundary :])
    if sensor and aggregator and cut.dtype != AS_IT_IS:
        _, channels, size, _ = _output(sensor).shape
        slot = sensor[-1].slot
        sensor.append(PlacedUnit(f"{slot}.send", Send(channels, size, cut.dtype)))
        aggregator.insert(0, PlacedUnit(f"{slot}.receive", Receive(space.views, channels, size, cut.dtype)))
    image = TensorSpec("image", (1, space.input.channels, space.input.size, space.input.size), "uint8")
    return Network(tuple(sensor), tuple(aggregator), space.views, image)


def _output(chain: list[PlacedUnit]) -> TensorSpec:
    last = chain[-1].unit
    return last.operators(last.input_tensors(), chain[-1].slot)[-1].output
