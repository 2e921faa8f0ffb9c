"""The supernet: two chains of elastic units with separate weights, stitched wherever an architecture is cut."""

from collections.abc import Iterable, Mapping
from itertools import product
from typing import Literal

import torch
from torch import Tensor, nn

from splitkit.sides import SIDES, Side
from splitkit.space.architecture import Architecture
from splitkit.space.network import PlacedUnit, describe
from splitkit.space.operators import Operator
from splitkit.space.search_space import SearchSpace
from splitkit.supernet.elastic import ElasticConv, ElasticLinear
from splitkit.supernet.extents import UnitExtents, covering, unit_extents
from splitkit.supernet.initialise import initialise_convolution, initialise_linear, initialise_splitting_pair
from splitkit.supernet.interpret import Tail, operators_of, run
from splitkit.supernet.link import fake_float16, fake_uint8
from splitkit.supernet.sharing import weights_of
from splitkit.supernet.statistics import BatchStatistics, Calibration, Recorder, Statistics

UNNORMED = frozenset({"squeeze_reduce", "squeeze_expand", "attend"})
"""Convolutions with a bias and no batch norm: what they see has been pooled to one pixel."""


class ElasticUnit(nn.Module):
    """All layers of one unit, by operator name."""

    def __init__(self, extents: UnitExtents) -> None:
        super().__init__()
        self.convs = nn.ModuleDict()
        self.linears = nn.ModuleDict()
        for name, extent in extents.items():
            if extent.kind == "conv":
                self.convs[name] = ElasticConv(extent, normed=name not in UNNORMED)
            else:
                self.linears[name] = ElasticLinear(extent)

    def forward(self, x: Tensor, placed: PlacedUnit, statistics: Statistics, present: Tensor | None = None) -> Tensor:
        """Run this unit as `placed` describes it."""
        return run(operators_of(placed), x, _ElasticLayers(self, statistics), present)

    def conv(self, name: str) -> ElasticConv:
        """The convolution of that name."""
        layer = self.convs[name]
        assert isinstance(layer, ElasticConv)
        return layer

    def linear(self, name: str) -> ElasticLinear:
        """The fully connected layer of that name."""
        layer = self.linears[name]
        assert isinstance(layer, ElasticLinear)
        return layer


class _ElasticLayers:
    """`Layers` of one elastic unit in one forward pass. Over the link goes what arrives: values, not codes."""

    def __init__(self, unit: ElasticUnit, statistics: Statistics) -> None:
        self.unit = unit
        self.statistics = statistics

    def conv(self, name: str, operator: Operator, x: Tensor, tail: Tail) -> Tensor:
        return self.unit.conv(name)(x, operator, self.statistics, tail)  # type: ignore[no-any-return]

    def linear(self, name: str, operator: Operator, x: Tensor) -> Tensor:
        return self.unit.linear(name)(x, operator)  # type: ignore[no-any-return]

    def float16(self, x: Tensor) -> Tensor:
        return fake_float16(x)

    def quantise(self, x: Tensor) -> Tensor:
        return fake_uint8(x, self.statistics.quantisation(x))

    def dequantise(self, x: Tensor) -> Tensor:
        return x


class ElasticSide(nn.Module):
    """The elastic units of one side: a full chain, and its half of the splitting module at every position."""

    def __init__(self, units: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.units = nn.ModuleDict(dict(units))

    def forward(
        self, x: Tensor, chain: Iterable[PlacedUnit], statistics: Statistics, present: Tensor | None = None
    ) -> Tensor:
        """Run the units of `chain` in order."""
        for key, placed in weights_of(chain):
            x = self.unit(key)(x, placed, statistics, present)
        return x

    def unit(self, key: str) -> ElasticUnit:
        """The elastic unit of a key that `weights_of` gives."""
        unit = self.units[key]
        assert isinstance(unit, ElasticUnit)
        return unit


Sides = Literal["shared", "separate"]


class Supernet(nn.Module):
    """Every sub-network of a space, sharing weights.

    Each side holds a whole chain of units and its half of the splitting module at every position; a sub-network cut
    after k units takes k units of the sensor's and the rest of the aggregator's. With `sides` `shared` both are the
    same chain, and only the splitting modules are a side's own: all that is trained is trained for either. With
    `separate` they are two supernets, stitched (Dong et al., CVPR 2022), each of which learns what is asked of its
    side, from the half of the steps that come to it.
    """

    def __init__(self, space: SearchSpace, seed: int = 0, sides: Sides = "shared") -> None:
        super().__init__()
        self.space = space
        extents = unit_extents(space)
        ours, theirs = extents["sensor"], extents["aggregator"]
        chain = {key for key in ours.keys() & theirs.keys() if not key.endswith("_reduce")} if sides == "shared" else ()
        for key in chain:
            ours[key] = covering(ours[key], theirs[key])
        self.sensor = ElasticSide({key: ElasticUnit(unit) for key, unit in ours.items()})
        self.aggregator = ElasticSide(
            {key: self.sensor.unit(key) if key in chain else ElasticUnit(unit) for key, unit in theirs.items()}
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._initialise(extents)
        # On CPUs a training step of depthwise convolutions takes a tenth of the time it takes in the default layout.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(
        self,
        images: Tensor,
        architecture: Architecture,
        statistics: Statistics | None = None,
        present: Tensor | None = None,
    ) -> Tensor:
        """Class scores of one sub-network.

        Args:
            images: uint8 (n, views, channels, size, size) as captured.
            architecture: canonical member of the space.
            statistics: a `Calibration` of this architecture to evaluate; None to normalise by the batch (training).
            present: as of `SubNetwork.forward`.

        Returns:
            float32 (n, classes).
        """
        network = describe(self.space, architecture)
        statistics = statistics or BatchStatistics()
        features = self.sensor(images.flatten(0, 1), network.sensor, statistics)
        mask = None if present is None else present.reshape(-1, 1, 1, 1)
        return self.aggregator(features, network.aggregator, statistics, mask)  # type: ignore[no-any-return]

    def side(self, side: Side) -> ElasticSide:
        """The network of `sensor` or `aggregator`."""
        return self.sensor if side == "sensor" else self.aggregator

    def _initialise(self, extents: dict[Side, dict[str, UnitExtents]]) -> None:
        for module in self.modules():
            if isinstance(module, ElasticConv):
                initialise_convolution(module)
            elif isinstance(module, ElasticLinear):
                initialise_linear(module)
        for key in extents["aggregator"]:
            if not key.endswith("_fuse"):
                continue
            unit = self.aggregator.unit(key)
            partner = key.removesuffix("_fuse") + "_reduce"
            if "attend" in unit.convs:
                nn.init.zeros_(unit.conv("attend").weight)  # all views alike
            for side, name in product(SIDES, ("fuse", "fuse_joined")):
                if partner in extents[side] and name in unit.convs:
                    initialise_splitting_pair(self.side(side).unit(partner).conv("reduce"), unit.conv(name))


PIXELS_PER_BATCH, MOST_PER_BATCH = 1 << 21, 512
"""How much is run at once without gradients: a batch of images of 288 x 288 then takes about a gigabyte in the widest
layers of `mobile`, instead of twenty."""


def evaluation_batch(images: Tensor) -> int:
    """How many images (n, views, channels, size, size) to run at once without gradients."""
    _, views, _, height, width = images.shape
    return max(1, min(MOST_PER_BATCH, PIXELS_PER_BATCH // (views * height * width)))


@torch.no_grad()
def calibrate(supernet: Supernet, architecture: Architecture, images: Tensor, batch: int | None = None) -> Calibration:
    """Batch-norm statistics and the link's range of one sub-network, from images it is to work on.

    Args:
        supernet: left as it is.
        architecture: canonical member of its space.
        images: uint8 (n, views, channels, size, size); a last batch smaller than `batch` is left out if others came
            before it, so that all weigh the same.
        batch: images per forward pass; `evaluation_batch` by default.
    """
    recorder = Recorder()
    batch = batch or evaluation_batch(images)
    for start in range(0, max(len(images) - batch, 0) + 1, batch):
        supernet(images[start : start + batch], architecture, recorder)
    return recorder.calibration()
