"""How large each layer of a supernet must be: the most any sub-network asks of it, read off their operators."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Literal

from splitkit.sides import SIDES, Side
from splitkit.space.architecture import Architecture
from splitkit.space.network import describe
from splitkit.space.operators import Operator
from splitkit.space.search_space import SearchSpace
from splitkit.supernet.interpret import layer_name, operators_of
from splitkit.supernet.sharing import weights_of


@dataclass(frozen=True, slots=True)
class LayerExtent:
    """The largest convolution or linear layer under one name in one elastic unit.

    `stacked` is the number of views along the input channels: each view's share is sliced by itself. `inputs` counts
    all of them.
    """

    kind: Literal["conv", "linear"]
    inputs: int
    outputs: int
    kernels: tuple[int, ...]
    depthwise: bool
    stacked: int

    def covering(self, other: "LayerExtent") -> "LayerExtent":
        """The least extent that holds both."""
        return replace(
            self,
            inputs=max(self.inputs, other.inputs),
            outputs=max(self.outputs, other.outputs),
            kernels=tuple(sorted({*self.kernels, *other.kernels})),
        )


UnitExtents = dict[str, LayerExtent]
"""Layers of one elastic unit by name."""


def unit_extents(space: SearchSpace) -> dict[Side, dict[str, UnitExtents]]:
    """Layers of every elastic unit on either side, by the unit's key (see `weights_of`).

    A unit without layers (late fusion) is present and empty. The sensor side lacks the units that only
    all-on-aggregator systems use, and the other way round.
    """
    extents: dict[Side, dict[str, UnitExtents]] = {side: {} for side in SIDES}
    for architecture in _extreme_architectures(space):
        network = describe(space, architecture)
        for side in SIDES:
            for key, placed in weights_of(getattr(network, side)):
                extents[side][key] = covering(extents[side].get(key, {}), dict(_layers(operators_of(placed))))
    return extents


def covering(first: UnitExtents, second: UnitExtents) -> UnitExtents:
    """The layers of both, each large enough for either."""
    joined = dict(first)
    for name, extent in second.items():
        joined[name] = joined[name].covering(extent) if name in joined else extent
    return joined


def _layers(operators: tuple[Operator, ...]) -> Iterator[tuple[str, LayerExtent]]:
    stacked = 1
    for op in operators:
        if op.kind == "stack_views":
            stacked = op.output.shape[1] // op.inputs[0].shape[1]
        elif op.kind == "conv" or op.kind == "linear":
            extent = LayerExtent(
                op.kind, op.inputs[0].shape[1], op.output.shape[1], (op.kernel,), op.groups > 1, stacked
            )
            yield layer_name(op), extent
            stacked = 1


def _extreme_architectures(space: SearchSpace) -> Iterator[Architecture]:
    """Architectures that between them ask the most of every layer, at every split position.

    Everything grows with its choices but a few things: a strided block's input is the phase before when no block
    stands ahead of it, a feature layer may be absent, and blocks of different kinds and those that expand nothing
    have layers of their own.
    """
    kernels, blocks = (range(max(len(getattr(phase, n)) for phase in space.phases)) for n in ("kernels", "blocks"))
    for kernel, block, expand, before, head in product(kernels, blocks, (0, -1), (0, -1), (0, -1)):
        widest = space.largest()
        phases = tuple(
            replace(
                choice,
                before=phase.before[before],
                kernel=phase.kernels[min(kernel, len(phase.kernels) - 1)],
                block=phase.blocks[min(block, len(phase.blocks) - 1)],
                expand=phase.expands[expand],
            )
            for choice, phase in zip(widest.phases, space.phases, strict=True)
        )
        base = replace(widest, phases=phases, head_width=space.head.widths[head])
        for (split, fuse), fusion in product(_positions(space, base.units), space.fusions):
            wanted = replace(base, split=split, fuse=fuse, fusion=fusion, reduce_ratio=space.link.reduce_ratios[-1])
            yield space.canonical(wanted)


def _positions(space: SearchSpace, units: int) -> Iterator[tuple[int, int]]:
    """(split, fuse) of every allowed placement."""
    if "sensor" in space.placements:
        yield units, units
    if "split" in space.placements:
        yield from ((at, at) for at in range(1, units))
    if "aggregator" in space.placements:
        yield from ((0, at) for at in range(1, units if space.views > 1 else 2))
