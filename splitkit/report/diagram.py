"""An architecture as rows to be drawn: what each processor runs, top to bottom, and where the cut is."""

import re
from dataclasses import dataclass
from itertools import groupby

from splitkit.space import Architecture, SearchSpace, describe
from splitkit.space.network import PlacedUnit
from splitkit.space.tensor import TensorSpec
from splitkit.space.units import Block, Fuse, MeanScores, Reduce, Stem


@dataclass(frozen=True)
class Row:
    """One unit. `channels` gives its width; `text` says in words what it is."""

    name: str
    channels: int
    text: str


@dataclass(frozen=True)
class Group:
    """Rows under one heading: a phase, the stem, the splitting module's half, the head."""

    title: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Diagram:
    """Both sides of one network. An empty side computes nothing.

    Attributes:
        views: how many sensors run `sensor`, one view each.
        link: what one sensor sends, in words: shape, dtype.
        payload_bytes: its size.
    """

    architecture: Architecture
    image: str
    sensor: tuple[Group, ...]
    link: str
    payload_bytes: int
    aggregator: tuple[Group, ...]
    views: int

    @property
    def widest(self) -> int:
        """The most channels of any row."""
        rows = [row.channels for group in (*self.sensor, *self.aggregator) for row in group.rows]
        return max(rows, default=1)

    @property
    def rows(self) -> int:
        """How many units both sides have."""
        return sum(len(group.rows) for group in (*self.sensor, *self.aggregator))


def diagram_of(space: SearchSpace, architecture: Architecture) -> Diagram:
    """The diagram of a canonical architecture of `space`."""
    network = describe(space, architecture)
    return Diagram(
        architecture,
        _tensor(network.image),
        _groups(network.sensor),
        _tensor(network.link),
        network.payload_bytes,
        _groups(network.aggregator),
        network.views,
    )


def _groups(placed: tuple[PlacedUnit, ...]) -> tuple[Group, ...]:
    return tuple(
        Group(title, tuple(_row(item) for item in items)) for title, items in groupby(placed, key=lambda i: _title(i))
    )


def _title(placed: PlacedUnit) -> str:
    unit = placed.unit
    if isinstance(unit, Reduce):
        return "reduce"
    if isinstance(unit, Fuse):
        return "fuse" if unit.views > 1 else "recover"
    if isinstance(unit, MeanScores):
        return "mean"
    phase = re.match(r"p(\d+)\.", placed.slot)
    return f"phase {int(phase[1]) + 1}" if phase else placed.slot


def _row(placed: PlacedUnit) -> Row:
    unit = placed.unit
    output = unit.operators(unit.input_tensors(), "unit")[-1].output
    channels = output.shape[1]
    where = f"{channels} ch" + (f" {output.shape[2]}x{output.shape[3]}" if len(output.shape) == 4 else "")
    if isinstance(unit, Stem):
        return Row("stem", channels, f"{where}, conv {unit.kernel}x{unit.kernel}{_stride(unit.stride)}")
    if isinstance(unit, Block):
        more = ", squeeze-excite" if unit.squeeze_excite else ""
        kernel = f"{unit.kernel}x{unit.kernel}{_stride(unit.stride)}"
        convolution = "dense" if unit.kind == "fused" else "depthwise"
        return Row("block", channels, f"{where}, {convolution} {kernel}, expand {unit.expand}{more}")
    if isinstance(unit, Reduce | Fuse):
        joined = f"{unit.fusion} of {unit.views} views, " if isinstance(unit, Fuse) and unit.views > 1 else ""
        return Row(_title(placed), channels, f"{where}, {joined}conv 1x1, {output.dtype}")
    if isinstance(unit, MeanScores):
        return Row("mean", channels, f"{channels} classes, mean of {unit.views} views")
    return Row("head", channels, f"{channels} classes, conv 1x1, pool, linear")


def _stride(stride: int) -> str:
    return "" if stride == 1 else f" /{stride}"


def _tensor(tensor: TensorSpec) -> str:
    return f"{'x'.join(str(d) for d in tensor.shape[1:])} {tensor.dtype}"
