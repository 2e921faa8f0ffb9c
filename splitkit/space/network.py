"""From an `Architecture` to the units on either side of the cut: the one description everything else derives from."""

from dataclasses import dataclass
from math import ceil

from splitkit.space.architecture import Architecture, PhaseChoice
from splitkit.space.operators import Operator, peak_activation_bytes
from splitkit.space.search_space import PhaseSpace, SearchSpace
from splitkit.space.tensor import TensorSpec
from splitkit.space.units import Block, Fuse, Head, MeanScores, Reduce, Stem, Unit


@dataclass(frozen=True, slots=True)
class PlacedUnit:
    """A unit and the slot of the supernet it stands in: `stem`, `p2.before0`, `p2.stride`, `p2.after1`, `head`.

    The splitting module behind slot S is `S.reduce` and `S.fuse`; late fusion is `scores`.
    """

    slot: str
    unit: Unit


@dataclass(frozen=True, slots=True)
class Network:
    """The units of both sides, in order. An empty side has nothing to run."""

    sensor: tuple[PlacedUnit, ...]
    aggregator: tuple[PlacedUnit, ...]
    views: int
    image: TensorSpec
    """What the sensor captures: uint8 (1, channels, size, size)."""

    @property
    def link(self) -> TensorSpec:
        """What one sensor sends: its last unit's output, or the image when it computes nothing."""
        return self.operators("sensor")[-1].output if self.sensor else self.image

    @property
    def payload_bytes(self) -> int:
        """Bytes one sensor sends per frame, without the frame's header."""
        return self.link.bytes

    def operators(self, side: str) -> list[Operator]:
        """Operators of `sensor` or `aggregator`, tensor names unique within the side."""
        placed = self.sensor if side == "sensor" else self.aggregator
        operators: list[Operator] = []
        for i, item in enumerate(placed):
            first, *others = item.unit.input_tensors()  # the others are the graph's own wherever the unit stands
            inputs = (first if i == 0 else operators[-1].output, *others)
            operators += item.unit.operators(inputs, item.slot)
        return operators

    def macs(self, side: str) -> int:
        """Multiply-accumulates of one frame on one sensor, or on the aggregator."""
        return sum(op.macs for op in self.operators(side))

    def weight_bytes(self, side: str) -> int:
        """float32 weights and biases of one side."""
        return 4 * sum(op.weight_elements for op in self.operators(side))

    def peak_sensor_bytes_bound(self) -> int:
        """Lower bound on a sensor's working memory: live activations (weights are read from flash or DRAM)."""
        operators = self.operators("sensor")
        return peak_activation_bytes(operators, keep={operators[-1].output.name}) if operators else self.image.bytes


def describe(space: SearchSpace, architecture: Architecture) -> Network:
    """The units of `architecture`, which must be a canonical member of `space`."""
    a, views = architecture, space.views
    prefix = views if a.placement == "aggregator" else 1
    sensor: list[PlacedUnit] = []
    aggregator: list[PlacedUnit] = []
    backbone = _backbone(space, a, prefix)
    for i, placed in enumerate(backbone, start=1):
        (sensor if i <= a.split else aggregator).append(placed)
        if a.has_splitting_module and i == a.fuse:
            reduce, fuse = _splitting_module(space, a, placed.slot, prefix)
            (sensor if a.split else aggregator).append(reduce)
            aggregator.append(fuse)
    if a.placement == "sensor" and views > 1:
        aggregator.append(PlacedUnit("scores", MeanScores(views, space.head.classes, space.input.masked)))
    image = TensorSpec("image", (1, space.input.channels, space.input.size, space.input.size), "uint8")
    return Network(tuple(sensor), tuple(aggregator), views, image)


def _backbone(space: SearchSpace, a: Architecture, prefix: int) -> list[PlacedUnit]:
    """Stem, blocks and head; units up to the splitting module carry the views as their batch."""
    placed: list[PlacedUnit] = []

    def batch() -> int:
        return prefix if len(placed) < a.fuse else 1

    placed.append(PlacedUnit("stem", stem_unit(space, batch(), a.resolution, a.stem_width)))
    size, channels = ceil(a.resolution / space.stem.stride), a.stem_width
    for i, (choice, phase) in enumerate(zip(a.phases, space.phases, strict=True)):
        names = [f"p{i}.before{j}" for j in range(choice.before)] + [f"p{i}.stride"]
        names += [f"p{i}.after{j}" for j in range(choice.after)]
        for j, name in enumerate(names):
            stride = phase.stride if j == choice.before else 1
            placed.append(PlacedUnit(name, block_unit(phase, choice, batch(), channels, size, stride)))
            size, channels = ceil(size / stride), choice.width
    placed.append(PlacedUnit("head", head_unit(space, batch(), channels, size, a.head_width)))
    return placed


def stem_unit(space: SearchSpace, batch: int, resolution: int, width: int) -> Stem:
    """The stem of a space with these choices."""
    stem, image = space.stem, space.input
    return Stem(batch, image.channels, image.size, resolution, width, stem.kernel, stem.stride, stem.activation)


def block_unit(phase: PhaseSpace, choice: PhaseChoice, batch: int, channels: int, size: int, stride: int) -> Block:
    """A block of a phase with these choices, for an input of `channels` x `size` x `size`."""
    return Block(
        batch, channels, choice.width, size, choice.block, choice.expand, choice.kernel, stride,
        phase.squeeze_excite, phase.activation,
    )  # fmt: skip


def head_unit(space: SearchSpace, batch: int, channels: int, size: int, features: int) -> Head:
    """The head of a space with a feature layer of this width, for an input of `channels` x `size` x `size`."""
    head = space.head
    return Head(batch, channels, size, head.expand * channels, features, head.classes, head.activation)


def _splitting_module(space: SearchSpace, a: Architecture, slot: str, prefix: int) -> tuple[PlacedUnit, PlacedUnit]:
    width = space.width_at(a, a.fuse)
    size = size_at(space, a, a.fuse)
    channels = space.link_channels(width, a.reduce_ratio)
    linked = a.placement == "split"
    dtype = a.link_dtype if linked else "float32"
    return (
        PlacedUnit(f"{slot}.reduce", Reduce(prefix, width, channels, size, dtype, linked)),
        PlacedUnit(f"{slot}.fuse", fuse_unit(space, channels, width, size, dtype, linked, a.fusion)),
    )


def fuse_unit(space: SearchSpace, channels: int, width: int, size: int, dtype: str, linked: bool, fusion: str) -> Fuse:
    """The aggregator's half of a splitting module; one view has nothing to be fused with."""
    fusion = fusion if space.views > 1 else "concat"
    return Fuse(space.views, channels, width, size, dtype, linked, fusion, space.input.masked)


def size_at(space: SearchSpace, architecture: Architecture, boundary: int) -> int:
    """Height (= width) of the activations at a boundary: after the stem (1) up to after the last block."""
    size = ceil(architecture.resolution / space.stem.stride)
    passed = 1
    for choice, phase in zip(architecture.phases, space.phases, strict=True):
        if boundary > passed + choice.before:
            size = ceil(size / phase.stride)
        passed += choice.depth
    return size
