"""Fully connected layers: at batch 1 a matrix-vector product that streams the weights once.

The weights lie in panels as wide as the accumulators of a tile, so that a tile reads one contiguous stream. Larger
batches add rows to the register tile.
"""

from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from splitkit.compiler.codegen.code import Code, Expr, Operand, Register, part, splat
from splitkit.compiler.codegen.epilogue import finish
from splitkit.compiler.codegen.parallel import shared, threads_for
from splitkit.compiler.codegen.tiling import Group as Strips
from splitkit.compiler.codegen.tiling import Tile, Tiling, panels, ranked_tiles, tiling
from splitkit.compiler.epilogue import Epilogue
from splitkit.compiler.kernels import wording
from splitkit.compiler.kernels.protocol import SHORT, UNSAID, KernelFunction, KernelSpec, Physical
from splitkit.compiler.machine import Machine
from splitkit.compiler.program import PLAIN, Constant

if TYPE_CHECKING:
    from splitkit.compiler.grouping import Group
    from splitkit.compiler.selection import Selector


@dataclass(frozen=True)
class LinearSpec(KernelSpec):
    """Fully connected layer (batch, in_features) -> (batch, out_features).

    Operands in order: input, weight, [bias], output. The residual of the epilogue is not used.
    """

    kind: ClassVar[str] = "linear"
    batch: int
    in_features: int
    out_features: int
    epilogue: Epilogue = field(default_factory=Epilogue)
    tile: Tile | None = field(default=None, metadata=UNSAID)
    dtype: str = field(default="float32", metadata=UNSAID)

    @property
    def family(self) -> str:
        return "linear"

    @property
    def macs(self) -> int:
        return self.batch * self.in_features * self.out_features

    def label(self) -> str:
        shapes = f"{self.batch}x{self.in_features}->{self.out_features}"
        return f"linear {shapes}{self.epilogue.label()} {SHORT[self.dtype]}{wording.tile(self.tile)}"

    def emit(self, machine: Machine) -> KernelFunction:
        return KernelFunction(linear(self, machine))

    def pack(self, role: str, value: NDArray[Any], machine: Machine) -> NDArray[np.float32]:
        """Weights are (out, in), a bias (out,)."""
        value, tiles = np.ascontiguousarray(value, np.float32), plan(self, machine)
        if role == "weight":
            return panels(value[:, :, None, None], tiles)
        return np.pad(value, (0, tiles.padded_channels - len(value)))

    def packs_alike(self) -> str:
        return repr(self)

    def constant_bytes(self, role: str, value: NDArray[Any]) -> int:
        return 4 * self.in_features * self.out_features if role == "weight" else int(value.nbytes)

    def tiles(self, machine: Machine) -> tuple[Tile, ...]:
        return ranked_tiles(self.out_features, 1, self.batch, 1, self.in_features, machine)

    def tiled_as(self, machine: Machine) -> Any:
        return plan(self, machine)

    def sample(self, rng: np.random.Generator) -> "list[Physical | Constant]":
        weight = rng.uniform(-1, 1, (self.out_features, self.in_features)).astype(np.float32)
        found: list[Physical | Constant] = [((self.batch, self.in_features), self.dtype), Constant(weight, "weight")]
        if self.epilogue.bias:
            found.append(Constant(rng.uniform(-1, 1, self.out_features).astype(np.float32), "bias"))
        return [*found, ((self.batch, self.out_features), self.dtype)]

    @classmethod
    def select(cls, group: "Group", to: "Selector") -> None:
        shape, out = to.type(group.data).shape, to.type(group.output).shape
        spec = cls(prod(shape[:-1]), shape[-1], out[-1], group.epilogue)
        operands = [to.read(group.data, PLAIN), *constants(group, to)]
        to.call(spec, [*operands, to.make(group.output, PLAIN)], group.nodes[0].name)


def constants(group: "Group", to: "Selector") -> "list[str | Constant]":
    """The weight of a layer, and its bias if it has one."""
    node = group.nodes[0]
    found: list[str | Constant] = [Constant(to.graph.constants[node.inputs[1]], "weight")]
    if group.epilogue.bias:
        found.append(Constant(to.graph.constants[node.inputs[2]], "bias"))
    return found


def plan(spec: LinearSpec, machine: Machine) -> Tiling:
    """Register tiles: rows of the batch by strips of outputs."""
    return tiling(spec.out_features, 1, spec.batch, 1, spec.in_features, machine, tile=spec.tile)


def linear(spec: LinearSpec, machine: Machine) -> Any:
    """The function. Weights lie as `pack` puts them, for each group of strips (in, width of the group)."""
    code, tiles = Code(), plan(spec, machine)
    x = Operand(code, "x", spec.batch * spec.in_features)
    weight = Operand(code, "weight", spec.in_features * tiles.padded_channels)
    bias = Operand(code, "bias", tiles.padded_channels) if spec.epilogue.bias else None
    out = Operand(code, "out", spec.batch * spec.out_features)
    threads = threads_for(machine, spec.macs, 4 * weight.elements)
    with shared(code, sum(group.count for group in tiles.groups), threads) as share:
        done = 0
        for group in tiles.groups:
            with share.pieces("g", done, group.count) as g:
                for run in tiles.pixels:
                    with code.loop("t", run.count) as t:
                        row = run.start + t * run.size
                        acc = _reduce(code, spec, group, g, x, weight, bias, row, run.size)
                        _store(code, spec, group, g, out, row, acc)
            done += group.count
    return code.function([operand for operand in (x, weight, bias, out) if operand])


def _reduce(
    code: Code,
    spec: LinearSpec,
    group: Strips,
    g: Expr,
    x: Operand,
    weight: Operand,
    bias: Operand | None,
    row: Expr,
    rows: int,
) -> list[list[Register]]:
    """Accumulators by strip and row."""
    acc = []
    for b, width in enumerate(group.widths):
        channel = group.channel + g * group.width + group.offset(b)
        start = code.let(f"bias{b}", bias.load(channel, width)) if bias else splat(0.0, width)
        acc.append([code.register(f"acc{b}_{j}", width) for j in range(rows)])
        for register in acc[-1]:
            register.set(start)
    panel = code.let("panel", (group.channel + g * group.width) * spec.in_features)
    with code.loop("i", spec.in_features) as i:
        values = [code.let(f"x{j}", x.load((row + j) * spec.in_features + i)) for j in range(rows)]
        for b, width in enumerate(group.widths):
            w = code.let(f"w{b}", weight.load(panel + i * group.width + group.offset(b), width))
            for j, value in enumerate(values):
                acc[b][j].add_product(splat(value, width), w)
    return acc


def _store(
    code: Code, spec: LinearSpec, group: Strips, g: Expr, out: Operand, row: Expr, acc: list[list[Register]]
) -> None:
    for b, width in enumerate(group.widths):
        channel = group.channel + g * group.width + group.offset(b)
        there = width if not isinstance(channel, int) else min(width, spec.out_features - channel)
        for j, register in enumerate(acc[b]):
            value = code.let("y", finish(code, spec.epilogue, register.get(), None, None, width))
            at, done = (row + j) * spec.out_features + channel, 0
            while done < there:
                lanes = 1 << ((there - done).bit_length() - 1)
                out.store(at + done, part(value, done, lanes, width), lanes)
                done += lanes
