"""How a convolution is cut into register tiles: P output pixels by B strips of output channels.

A strip is one vector of output channels; its accumulators stay in registers while the whole reduction runs, one
broadcast input value and one weight vector feeding each multiply-add (the outer-product kernel of Goto and van de
Geijn, "Anatomy of High-Performance Matrix Multiplication", 2008, with P x B for its m_r x n_r). Tiles are balanced: a
row of 49 pixels at most 14 wide becomes 13 + 12 + 12 + 12, so no tile is a remainder too small to fill the pipeline.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, groupby
from math import ceil

import numpy as np
from numpy.typing import NDArray

from splitkit.compiler.machine import Machine
from splitkit.compiler.spec import Tile

IN_FLIGHT = 8
"""Independent multiply-adds that hide their latency (4 cycles on two pipes), where there are registers for them."""
TILE_START = 12
"""Cycles to set a tile up, per tile; a tie-breaker rather than a measurement."""
LOAD_SHARE = 0.1
"""Cycles of a load that runs beside multiply-adds: decides between tiles that are otherwise as good."""
MOST_STRIPS = 12


@dataclass(frozen=True)
class Run:
    """`count` consecutive pieces of `size`, the first at `start`."""

    start: int
    size: int
    count: int


@dataclass(frozen=True)
class Group:
    """`count` consecutive groups of strips with the same widths; `channel` and `offset` are those of the first.

    Attributes:
        widths: channels of each strip.
        channel: first output channel.
    """

    widths: tuple[int, ...]
    channel: int
    count: int

    @property
    def width(self) -> int:
        """Channels of one group, padding included."""
        return sum(self.widths)

    def offset(self, strip: int) -> int:
        """First channel of a strip within its group."""
        return sum(self.widths[:strip])


@dataclass(frozen=True)
class Tiling:
    """Groups of strips, and runs of pixel tiles along a row of the output."""

    groups: tuple[Group, ...]
    pixels: tuple[Run, ...]

    @property
    def padded_channels(self) -> int:
        """Output channels with the last strip's padding: the extent of packed weights and bias."""
        return sum(group.width * group.count for group in self.groups)


def panels(weight: NDArray[np.float32], tiles: Tiling) -> NDArray[np.float32]:
    """OIHW weights to, for each group of strips in turn, (kh, kw, in_channels, width of the group), flat."""
    padded = np.zeros((tiles.padded_channels, *weight.shape[1:]), np.float32)
    padded[: len(weight)] = weight
    parts = []
    for group in tiles.groups:
        rows = padded[group.channel : group.channel + group.width * group.count]
        panel = rows.reshape(group.count, group.width, *weight.shape[1:]).transpose(0, 3, 4, 2, 1)
        parts.append(panel.reshape(-1))
    return np.concatenate(parts)


def balanced(total: int, most: int) -> tuple[Run, ...]:
    """Fewest pieces of at most `most`, sizes differing by one at most, larger ones first."""
    pieces = ceil(total / most)
    size, larger = divmod(total, pieces)
    runs = (Run(0, size + 1, larger), Run(larger * (size + 1), size, pieces - larger))
    return tuple(run for run in runs if run.count)


def strip_widths(channels: int, block: int, machine: Machine) -> tuple[int, ...]:
    """Widths of the strips that cover all blocks: whole vectors, then a power of two that covers the rest."""
    lanes = max(machine.lanes, block)
    full, rest = divmod(ceil(channels / block) * block, lanes)
    tail = (1 << (rest - 1).bit_length(),) if rest else ()
    return (lanes,) * full + tail


@lru_cache(maxsize=4096)
def ranked_tiles(
    channels: int, block: int, row: int, rows: int, depth: int, machine: Machine, held: int = 1, shares: int = 1
) -> tuple[Tile, ...]:
    """Every tile that fits the registers, the cheapest by a count of multiply-adds, loads and tile starts first.

    Args:
        channels, block: of the output.
        row, rows: pixels along a row, rows in all (batch included).
        depth: terms of the reduction.
        held: weights of a strip that are held in registers at a time.
        shares: threads among which the tiles of a row are dealt out.
    """
    widths = strip_widths(channels, block, machine)
    costs: dict[Tile, float] = {}
    for strips in range(1, min(len(widths), MOST_STRIPS) + 1):
        groups = tuple(_groups(widths, ceil(channels / block) * block, strips))
        for size in range(1, min(_pixels_in_registers(strips, held, widths[0], machine), row) + 1):
            pixels = balanced(row, size)
            cost = rows * sum(
                group.count * run.count * _tile_cost(run.size, group.widths, depth, machine)
                for group in groups
                for run in pixels
            )
            pieces = sum(run.count for run in pixels)
            cost *= ceil(pieces / shares) * shares / pieces
            cost *= 1 + 0.01 * len(groups) * len(pixels)  # code that is generated has to be compiled and fetched
            costs[Tile(strips, size)] = cost
    return tuple(sorted(costs, key=costs.__getitem__))


@lru_cache(maxsize=4096)
def tiling(
    channels: int,
    block: int,
    row: int,
    rows: int,
    depth: int,
    machine: Machine,
    held: int = 1,
    shares: int = 1,
    tile: Tile | None = None,
) -> Tiling:
    """The tiling by `tile`, or by the first of `ranked_tiles`, whose arguments these are."""
    tile = tile or ranked_tiles(channels, block, row, rows, depth, machine, held, shares)[0]
    groups = _groups(strip_widths(channels, block, machine), ceil(channels / block) * block, tile.strips)
    return Tiling(tuple(groups), balanced(row, tile.pixels))


def _pixels_in_registers(strips: int, held: int, width: int, machine: Machine) -> int:
    """Most pixels whose accumulators leave room for the weights and one broadcast value.

    A single pixel uses each weight once, so that one register serves them all.
    """
    registers = machine.registers // max(1, width // machine.lanes)
    several = (registers - strips * held - 1) // strips
    return max(several, 1 if strips + 2 <= registers or strips == 1 else 0)


def _tile_cost(pixels: int, widths: tuple[int, ...], depth: int, machine: Machine) -> float:
    products = pixels * sum(max(width / machine.lanes, 0.5) for width in widths)
    loads = pixels + len(widths)
    return (
        depth * (max(products, loads, min(IN_FLIGHT, machine.registers // 2)) + LOAD_SHARE * loads)
        + TILE_START
        + 3 * products
    )


def _groups(widths: tuple[int, ...], channels: int, strips: int) -> Iterator[Group]:
    """Balanced groups; the one that reaches past the last channel stands alone, its stores being cut."""
    pieces = [
        widths[run.start + i * run.size :][: run.size]
        for run in balanced(len(widths), strips)
        for i in range(run.count)
    ]
    ends = list(accumulate(map(sum, pieces)))
    for (piece, _), same in groupby(zip(pieces, ends, strict=True), key=lambda each: (each[0], each[1] > channels)):
        members = list(same)
        yield Group(piece, members[0][1] - sum(piece), len(members))
