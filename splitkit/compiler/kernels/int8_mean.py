"""Means of whole images of bytes, by channel."""

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from tvm import tirx

from splitkit.compiler.codegen.code import Code, Operand
from splitkit.compiler.codegen.integers import Rule, Sum, cast, number, padded_load
from splitkit.compiler.kernels.int8_convolution import bounded, numbers
from splitkit.compiler.kernels.protocol import SHORT, KernelFunction, KernelSpec, Physical
from splitkit.compiler.machine import Machine
from splitkit.compiler.packing import packed_shape
from splitkit.compiler.pitch import pitch_for
from splitkit.compiler.program import PLAIN, Constant
from splitkit.graphs.int8.patterns import MEAN_BITS
from splitkit.graphs.reading.graph import Type

if TYPE_CHECKING:
    from splitkit.compiler.grouping import Group
    from splitkit.compiler.selection import Selector
    from splitkit.graphs.reading.graph import Graph, Node


@dataclass(frozen=True)
class Int8MeanSpec(KernelSpec):
    """(N, H, W, pitch) to (N, pitch): the mean of each channel. Operands: input, start, rule, output.

    `start` is what a sum begins with, and the multiplier.
    """

    kind: ClassVar[str] = "int8_mean"
    batch: int
    channels: int
    size: tuple[int, int]
    in_dtype: str = "uint8"
    dtype: str = "uint8"
    bounded: bool = False

    @property
    def family(self) -> str:
        return "int8_mean"

    def label(self) -> str:
        h, w = self.size
        dtypes = f"{SHORT[self.in_dtype]}->{SHORT[self.dtype]}"
        return f"mean {self.batch}x{self.channels}x{h}x{w} {dtypes} nhwc{pitch_for(self.channels)}"

    def sample(self, rng: np.random.Generator) -> "list[Physical | Constant]":
        pitch = pitch_for(self.channels)
        constants = [np.array([-5, 1 << 30], np.int32), np.array([1 << 9, 8, 0, 255], np.int32)]
        return [
            (packed_shape(self.batch, self.channels, self.size, pitch), self.in_dtype),
            *(Constant(each, "raw") for each in constants),
            (packed_shape(self.batch, self.channels, (1, 1), pitch), self.dtype),
        ]

    @classmethod
    def takes(cls, node: "Node", graph: "Graph") -> bool:
        return node.op == "IntegerMean"

    @classmethod
    def select(cls, group: "Group", to: "Selector") -> None:
        node = group.nodes[0]
        x, out = to.type(group.data), to.type(group.output)
        n, c, h, w = x.shape
        rule, layout = node.attrs["rule"], pitch_for(c)
        name = group.output
        if len(out.shape) != 4:
            name = f"{group.output}.mean"
            to.add_tensor(name, Type((n, c, 1, 1), out.dtype))
        start = np.array([-node.attrs["zero"] * h * w, rule.multipliers[0]], np.int32)
        constants = [Constant(each, "raw") for each in (start, numbers(rule))]
        spec = cls(n, c, (h, w), x.dtype, out.dtype, bounded(rule, out.dtype))
        to.call(spec, [to.read(group.data, layout), *constants, to.make(name, layout)], node.name)
        if name != group.output:
            to.view(group.output, PLAIN, to.read(name, PLAIN))

    def emit(self, machine: Machine) -> KernelFunction:
        code, pitch, pixels = Code(), pitch_for(self.channels), prod(self.size)
        x = Operand(code, "x", self.batch * pixels * pitch, dtype=self.in_dtype)
        start = Operand(code, "start", 2, dtype="int32")
        rule = Rule(code, machine, self.dtype, self.bounded)
        out = Operand(code, "out", self.batch * pitch, dtype=self.dtype)
        rule.read()
        first, multiplier = code.let("first", start.load(0)), code.let("multiplier", start.load(1))
        with code.loop("n", self.batch) as n:
            done = 0
            while done < pitch:
                lanes = min(machine.lanes, pitch - done)
                lanes = 1 << (lanes.bit_length() - 1)
                total = Sum(code, f"sum{done}", lanes)
                total.set(number(first, lanes))
                with code.loop("p", pixels) as p:
                    loaded = padded_load(x, (n * pixels + p) * pitch + done, lanes, lanes)
                    total.add(cast(loaded, "int32", lanes))
                shifted = tirx.shift_left(total.get(), number(MEAN_BITS, lanes))
                value = rule.requantised(shifted, number(multiplier, lanes), lanes)
                rule.store(out, n * pitch + done, value, lanes, lanes)
                done += lanes
        return KernelFunction(code.function([x, start, rule.operand, out]))
