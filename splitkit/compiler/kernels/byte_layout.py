"""Bytes from channel after channel to pixel after pixel, and back."""

from dataclasses import dataclass
from math import ceil, prod
from typing import ClassVar

import numpy as np
from tvm import tirx

from splitkit.compiler.codegen.code import Code, Operand
from splitkit.compiler.kernels.protocol import SHORT, KernelFunction, KernelSpec, Physical
from splitkit.compiler.machine import Machine
from splitkit.compiler.packing import packed_shape
from splitkit.compiler.program import Constant


@dataclass(frozen=True)
class ByteLayoutSpec(KernelSpec):
    """(N, C, H, W) to (N, H, W, pitch) or back: one of the pitches is 1. Operands: input, output."""

    kind: ClassVar[str] = "byte_layout"
    batch: int
    channels: int
    size: tuple[int, int]
    in_pitch: int
    out_pitch: int
    dtype: str = "uint8"

    @property
    def family(self) -> str:
        return "byte_layout"

    def label(self) -> str:
        (h, w), kinds = self.size, ["nchw" if p == 1 else f"nhwc{p}" for p in (self.in_pitch, self.out_pitch)]
        return f"layout {self.batch}x{self.channels}x{h}x{w} {SHORT[self.dtype]} {'->'.join(kinds)}"

    def sample(self, rng: np.random.Generator) -> "list[Physical | Constant]":
        pitches = (self.in_pitch, self.out_pitch)
        return [(packed_shape(self.batch, self.channels, self.size, each), self.dtype) for each in pitches]

    def emit(self, machine: Machine) -> KernelFunction:
        code, pixels = Code(), prod(self.size)
        counts = [self.batch * ceil(self.channels / p) * p * pixels for p in (self.in_pitch, self.out_pitch)]
        x = Operand(code, "x", counts[0], dtype=self.dtype)
        out = Operand(code, "out", counts[1], dtype=self.dtype)
        pitch = max(self.in_pitch, self.out_pitch)
        with code.loop("n", self.batch) as n, code.loop("p", pixels) as p, code.loop("c", self.channels) as c:
            plain, packed = (n * self.channels + c) * pixels + p, (n * pixels + p) * pitch + c
            if self.in_pitch == 1:
                out.store(packed, x.load(plain))
            else:
                out.store(plain, x.load(packed))
        if self.in_pitch == 1 and pitch > self.channels:  # never read as anything but weights of zero; kept tidy
            zero = tirx.IntImm(self.dtype, 0)
            with code.loop("p", self.batch * pixels) as p:
                for c in range(self.channels, pitch):
                    out.store(p * pitch + c, zero)
        return KernelFunction(code.function([x, out]))
