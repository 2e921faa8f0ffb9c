"""Pointwise, dense and grouped k x k convolutions: one kernel, a register tile under a reduction.

The padded border is never copied: rows clip the kernel's rows by their position, and tiles that touch the left or right
edge are emitted of their own with the products that fall outside left out. A pointwise convolution of stride 1 is the
case of one long row. A squeeze-excite scale multiplies the weights or the input, whichever is less, into workspace:
each thread into its own, which is faster than to wait for one another.
"""

from contextlib import AbstractContextManager
from dataclasses import replace
from math import ceil, gcd, prod
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from splitkit.compiler.codegen.borders import column_runs, inside, kernel_rows, reached, touches_edge
from splitkit.compiler.codegen.code import Code, Expr, Register, divide, splat
from splitkit.compiler.codegen.parallel import UNEVEN, Whole, balance, shared, threads_for
from splitkit.compiler.codegen.tiling import Group, Run, Tile, Tiling, panels, ranked_tiles, tiling
from splitkit.compiler.kernels.conv_operands import ConvOperands
from splitkit.compiler.kernels.protocol import KernelFunction
from splitkit.compiler.machine import Machine

if TYPE_CHECKING:
    from splitkit.compiler.kernels.convolution import ConvSpec

HELD_WEIGHTS = 8
"""Most weights per strip that are held in registers while a plain image's columns pass by."""
ALIGNED = 16
"""Elements in 64 bytes."""
WRITTEN_OUT_CHANNELS = 3
"""Plain inputs of so few channels are reduced without a loop over them."""


def emit(spec: "ConvSpec", machine: Machine) -> KernelFunction:
    """The kernel. Weights as `pack`, bias as `pack_bias` lays it out."""
    kernel = DenseKernel(flattened(spec), machine)
    kernel.emit()
    return KernelFunction(kernel.code.function(kernel.operands.in_order), 4 * kernel.workspace_elements)


def plan(spec: "ConvSpec", machine: Machine) -> Tiling:
    """Register tiles of one group of a convolution."""
    return tiling(*_extents(spec, machine), tile=spec.tile)


def candidates(spec: "ConvSpec", machine: Machine) -> tuple[Tile, ...]:
    """Tiles worth a try, the most promising first."""
    return ranked_tiles(*_extents(spec, machine))


def _extents(spec: "ConvSpec", machine: Machine) -> tuple[int, int, int, int, int, Machine, int, int]:
    """What `ranked_tiles` wants to know."""
    spec = flattened(spec)
    height, width = spec.out_size
    depth = spec.in_channels // spec.groups * prod(spec.kernel)
    held = spec.kernel[1] if by_columns(spec) else 1
    channels = spec.out_channels // spec.groups
    shares = threads(spec, machine) if height == 1 else 1
    return channels, chunk(spec), width, spec.batch * height, depth, machine, held, min(shares, width)


def threads(spec: "ConvSpec", machine: Machine) -> int:
    """Threads worth their fork."""
    values = spec.batch * (spec.in_channels * prod(spec.size) + spec.out_channels * prod(spec.out_size))
    return threads_for(machine, spec.macs, 4 * (values + spec.weight_elements))


def chunk(spec: "ConvSpec") -> int:
    """Most output channels that lie side by side in memory wherever a group begins: a power of two."""
    return spec.out_block if spec.groups == 1 else gcd(spec.out_channels // spec.groups, spec.out_block)


def by_columns(spec: "ConvSpec") -> bool:
    """Whether each value of a plain image is loaded once per kernel row and meets all the row's weights.

    The other order, one kernel column after the other, loads it once per column, but holds one weight only.
    """
    return spec.in_block == 1 and 1 < spec.kernel[1] <= HELD_WEIGHTS


def flattened(spec: "ConvSpec") -> "ConvSpec":
    """A pointwise convolution as one row of all its pixels; others as they are."""
    if spec.kernel == (1, 1) and spec.stride == (1, 1) and not any(spec.padding):
        return replace(spec, size=(1, prod(spec.size)))
    return spec


def pack(spec: "ConvSpec", weight: NDArray[np.float32], machine: Machine) -> NDArray[np.float32]:
    """OIHW to the panels of the tiling, each (kh, kw, in_channels / groups, width), group after group."""
    tiles = plan(spec, machine)
    return np.concatenate([panels(rows, tiles) for rows in np.split(weight, spec.groups)])


def pack_bias(spec: "ConvSpec", bias: NDArray[np.float32], machine: Machine) -> NDArray[np.float32]:
    """(out,) to (groups, padded channels of a group)."""
    padded = np.zeros((spec.groups, plan(spec, machine).padded_channels), np.float32)
    padded[:, : spec.out_channels // spec.groups] = bias.reshape(spec.groups, -1)
    return padded.reshape(-1)


class Place(NamedTuple):
    """Where the emission is: image, convolution group, group of strips and its number, output row."""

    n: Expr
    q: Expr
    strips: Group
    g: Expr
    y: Expr


class DenseKernel:
    """The emission of one kernel."""

    def __init__(self, spec: "ConvSpec", machine: Machine) -> None:
        self.spec, self.machine = spec, machine
        self.tiling = plan(spec, machine)
        self.code = Code()
        self.in_channels = spec.in_channels // spec.groups
        self.depth = self.in_channels * prod(spec.kernel)
        self.in_blocks = ceil(spec.in_channels / spec.in_block)
        biases = self.tiling.padded_channels * spec.groups
        weights = self.depth * biases
        image = self.in_blocks * spec.in_block * prod(spec.size)
        self.clears_padding = chunk(spec) < spec.out_block and spec.out_channels % spec.out_block > 0
        self.scales_weights = spec.input_scale and spec.groups == 1 and weights < image
        self.scales_input = spec.input_scale and not self.scales_weights
        self.axis, self.pieces, self.shares = self._split()
        scaled = weights if self.scales_weights else spec.batch * image if self.scales_input else 0
        copies = machine.threads if self.shares > 1 else 1
        scaled = ceil(scaled / ALIGNED) * ALIGNED
        self.workspace_elements = scaled * copies
        self.operands = ConvOperands(self.code, spec, weights, biases, scaled, copies)
        work = self.operands.workspace
        self.weight = work if self.scales_weights and work else self.operands.weight
        self.x = work if self.scales_input and work else self.operands.x

    def emit(self) -> None:
        if self.scales_weights:
            with self.code.loop("n", self.spec.batch) as n:
                self._scale_weights(n)
                self._images(n, 1)
            return
        if self.clears_padding:
            self._clear_padding()
        self._images(0, self.spec.batch)

    def _images(self, first: Expr, count: int) -> None:
        """Convolve `count` images from number `first`, weights outermost: they are read once."""
        spec, code = self.spec, self.code
        axis = self.axis
        if self.scales_input and axis != "t":
            self._scale_input(0, prod(spec.size))
        with shared(code, self.pieces, self.shares) as share:

            def each(name: str, before: int, extent: int) -> AbstractContextManager[Expr]:
                return (share if name == axis else Whole(code)).pieces(name, before, extent)

            if self.scales_input and axis == "t":
                tiles = 0
                for run in self.tiling.pixels:
                    with each("t", tiles, run.count) as t:
                        self._scale_input(run.start + t * run.size, run.size)
                    tiles += run.count
            with each("q", 0, spec.groups) as q:
                done = 0
                for strips in self.tiling.groups:
                    with (
                        each("g", done, strips.count) as g,
                        code.loop("n", count, first) as n,
                        each("y", 0, spec.out_size[0]) as y,
                    ):
                        tiles = 0
                        for run in column_runs(spec, self.tiling.pixels):
                            with each("t", tiles, run.count) as t:
                                self._tile(Place(n, q, strips, g, y), run, run.start + t * run.size)
                            tiles += run.count
                    done += strips.count

    def _split(self) -> tuple[str, int, int]:
        """The loop to split over threads, its pieces, and the threads.

        Rows, or tiles where there is one row; weights if there are too few of them.
        """
        spec, shares = self.spec, 1 if self.clears_padding else threads(self.spec, self.machine)
        loops = {
            "y": spec.out_size[0],
            "t": sum(run.count for run in self.tiling.pixels) if spec.out_size[0] == 1 else 1,
            "g": sum(strips.count for strips in self.tiling.groups),
            "q": spec.groups,
        }
        even = [name for name, pieces in loops.items() if balance(pieces, shares) >= UNEVEN]
        axis = even[0] if even else max(loops, key=lambda name: balance(loops[name], shares))
        return axis, loops[axis], min(shares, loops[axis])

    def _tile(self, place: Place, run: Run, column: Expr) -> None:
        """One tile: `run.size` pixels from `column` by a group of strips."""
        code, spec, strips = self.code, self.spec, place.strips
        channel = strips.channel + place.g * strips.width
        accumulators = []
        for b, width in enumerate(strips.widths):
            start = splat(0.0, width)
            if self.operands.bias:
                at = place.q * self.tiling.padded_channels + channel + strips.offset(b)
                start = code.let(f"bias{b}", self.operands.bias.load(at, width))
            accumulators.append([code.register(f"acc{b}_{j}", width) for j in range(run.size)])
            for register in accumulators[-1]:
                register.set(start)
        self._reduce(place, run, column, accumulators)
        for b, width in enumerate(strips.widths):
            places = self._places(place, channel + strips.offset(b), width)
            for j, register in enumerate(accumulators[b]):
                self.operands.store(register.get(), width, chunk(spec), place.n, places, place.y, column + j)

    def _places(self, place: Place, channel: Expr, width: int) -> list[tuple[Expr, Expr]]:
        """Block and lane of every chunk of the strip at `channel` of the group that exists."""
        spec, size = self.spec, chunk(self.spec)
        channels = spec.out_channels // spec.groups
        count = max(1, width // size)
        if isinstance(channel, int):
            count = min(count, ceil((channels - channel) / size))
        if size == spec.out_block:
            first = place.q * (channels // size) + divide(channel, size)
            return [(first + i, 0) for i in range(count)]
        places = []
        for i in range(count):
            at = place.q * channels + channel + i * size
            block = self.code.let("block", divide(at, spec.out_block))
            places.append((block, at - block * spec.out_block))
        return places

    def _clear_padding(self) -> None:
        """Zero the last block: the groups' chunks write existing channels only."""
        code, spec, v = self.code, self.spec, self.spec.out_block
        blocks, pixels = ceil(spec.out_channels / v), prod(spec.out_size)
        with code.loop("n", spec.batch) as n, code.loop("p", pixels) as p:
            self.operands.out.store(((n * blocks + blocks - 1) * pixels + p) * v, splat(0.0, v), v)

    def _reduce(self, place: Place, run: Run, column: Expr, acc: list[list[Register]]) -> None:
        code, spec, width = self.code, self.spec, place.strips.width
        (height, wide), kw = spec.size, spec.kernel[1]
        panel = place.q * (self.depth * self.tiling.padded_channels)
        panel = panel + (place.strips.channel + place.g * width) * self.depth
        low, high = kernel_rows(code, spec, place.y)
        with code.loop("r", high - low, low) as r:
            row = place.y * spec.stride[0] + r * spec.dilation[0] - spec.padding[0]
            corner = column * spec.stride[1] - spec.padding[1]
            x_at = code.let("x_at", ((place.n * self.in_blocks * height + row) * wide + corner) * spec.in_block)
            w_at = code.let("w_at", panel + r * (kw * self.in_channels * width))
            if by_columns(spec):
                self._columns(place, x_at, w_at, run, column, acc)
                return
            edge = isinstance(column, int) and touches_edge(spec, column, run.size)
            for known in range(kw) if edge or kw == 1 else (None,):
                with code.loop("s", 1 if known is not None else kw, known or 0) as s:
                    valid = [j for j in range(run.size) if not edge or inside(spec, column + j, s)]
                    x_s = x_at + s * (spec.dilation[1] * spec.in_block)
                    self._channels(place, x_s, w_at + s * (self.in_channels * width), valid, acc)

    def _columns(self, place: Place, x_at: Expr, w_at: Expr, run: Run, column: Expr, acc: list[list[Register]]) -> None:
        """Reduce one kernel row over a plain image: all the row's weights meet each input value as it is loaded."""
        code, spec, strips = self.code, self.spec, place.strips
        plane = prod(spec.size)
        written_out = self.in_channels <= WRITTEN_OUT_CHANNELS
        for known in range(self.in_channels) if written_out else (None,):
            with code.loop("c", 1 if known is not None else self.in_channels, known or 0) as c:
                weights = [
                    [
                        code.let(f"w{s}_{b}", self.weight.load(at + strips.offset(b), width))
                        for b, width in enumerate(strips.widths)
                    ]
                    for s in range(spec.kernel[1])
                    for at in (w_at + (s * self.in_channels + c) * strips.width,)
                ]
                start = x_at + (place.q * self.in_channels + c) * plane
                for offset, users in reached(spec, run.size, column):
                    x = code.let(f"x{offset}", self.x.load(start + offset))
                    for j, s in users:
                        for b, width in enumerate(strips.widths):
                            acc[b][j].add_product(splat(x, width), weights[s][b])

    def _channels(self, place: Place, x_at: Expr, w_at: Expr, valid: list[int], acc: list[list[Register]]) -> None:
        """Reduce over the input channels for one column of the kernel and the pixels that it reaches."""
        if not valid:
            return
        code, spec, strips = self.code, self.spec, place.strips
        v, plane = spec.in_block, prod(spec.size) * spec.in_block

        def product(c: Expr, block: Expr, lane: Expr) -> None:
            at = w_at + c * strips.width
            weights = [
                code.let(f"w{b}", self.weight.load(at + strips.offset(b), width))
                for b, width in enumerate(strips.widths)
            ]
            for j in valid:
                x = code.let(f"x{j}", self.x.load(x_at + block * plane + lane + j * (spec.stride[1] * v)))
                for b, width in enumerate(strips.widths):
                    acc[b][j].add_product(splat(x, width), weights[b])

        full, rest = divmod(self.in_channels, v)
        if spec.groups > 1 and rest:
            # A group's channels start anywhere in a block.
            with code.loop("c", self.in_channels) as c:
                channel = place.q * self.in_channels + c
                block = code.let("block", divide(channel, v))
                product(c, block, channel - block * v)
            return
        first = place.q * full
        with code.loop("cb", full) as cb, code.loop("ci", v) as lane:
            product(cb * v + lane, first + cb, lane)
        with code.loop("ct", rest) as lane:
            product(full * v + lane, first + full, lane)

    def _scale_weights(self, n: Expr) -> None:
        """Multiply the weights by the scale of image `n` into the workspace."""
        code, scale, work = self.code, self.operands.scale, self.operands.workspace
        if scale is None or work is None:
            return
        for strips in self.tiling.groups:
            start = strips.channel * self.depth
            with code.loop("p", strips.count * prod(self.spec.kernel)) as p, code.loop("c", self.in_channels) as c:
                at = start + (p * self.in_channels + c) * strips.width
                factor = code.let("factor", scale.load(n * (self.in_blocks * self.spec.in_block) + c))
                for b, width in enumerate(strips.widths):
                    value = self.operands.weight.load(at + strips.offset(b), width)
                    work.store(at + strips.offset(b), value * splat(factor, width), width)

    def _scale_input(self, first: Expr, count: int) -> None:
        """Multiply `count` pixels of the input from number `first` by the scale into the workspace."""
        code, spec, scale, work = self.code, self.spec, self.operands.scale, self.operands.workspace
        if scale is None or work is None:
            return
        v, pixels = spec.in_block, prod(spec.size)
        with code.loop("b", spec.batch * self.in_blocks) as b:
            factor = code.let("factor", scale.load(b * v, v))
            with code.loop("p", count) as p:
                at = (b * pixels + first + p) * v
                work.store(at, self.operands.x.load(at, v) * factor, v)
