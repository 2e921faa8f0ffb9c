"""Sums of products of bytes, by what a target has for them.

A unit multiplies a few channels of one pixel with as many weights of each of its outputs and adds them up in 32 bits.
Activations are unsigned or signed bytes, weights signed. A unit that wants the other sign reads bytes with their top bit
turned, which moves them by 128: `moves` says so, and the sums that a kernel begins with make up for it.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tvm import tirx

from splitkit.compiler.codegen.code import Code, Expr, Operand
from splitkit.compiler.codegen.integers import Sum, cast, number, padded_load, typed
from splitkit.compiler.machine import Machine


@dataclass(frozen=True)
class Unit(ABC):
    """One way to multiply.

    Attributes:
        lanes: outputs, side by side, of one sum.
        depth: channels that one step takes; a power of two.
        registers: vector registers that sums and operands may take.
        dtype: of the activations.
    """

    lanes: int
    depth: int
    registers: int
    dtype: str

    @property
    def moves(self) -> int:
        """By how much less an activation counts than its byte says."""
        return 0

    def arranged(self, weights: NDArray[np.int8]) -> NDArray[np.int8]:
        """(..., depth, lanes), in the order in which `weights` reads one step."""
        return np.ascontiguousarray(weights.swapaxes(-1, -2))

    @abstractmethod
    def activations(self, code: Code, x: Operand, at: Expr, count: int) -> list[Expr]:
        """`count` channels of a pixel from `at`, ready for `add`."""

    @abstractmethod
    def weights(self, code: Code, weight: Operand, at: Expr) -> list[Expr]:
        """One step's weights of all lanes, (lanes, depth) bytes from `at`, ready for `add`."""

    @abstractmethod
    def add(self, total: Sum, x: list[Expr], w: list[Expr]) -> None:
        """total += the products, added up for each lane."""


class Vnni(Unit):
    """x86 with VNNI: four products a lane in one instruction, unsigned by signed (`vpdpbusd`)."""

    @property
    def moves(self) -> int:
        return -128 if self.dtype == "int8" else 0

    def activations(self, code: Code, x: Operand, at: Expr, count: int) -> list[Expr]:
        word = tirx.reinterpret("int32", padded_load(x, at, count, 4))
        if self.dtype == "int8":
            word = tirx.bitwise_xor(word, tirx.IntImm("int32", -2139062144))  # the top bit of each byte
        return [code.let("x", tirx.reinterpret(f"int8x{4 * self.lanes}", number(word, self.lanes)))]

    def weights(self, code: Code, weight: Operand, at: Expr) -> list[Expr]:
        return [code.let("w", weight.load(at, 4 * self.lanes))]

    def add(self, total: Sum, x: list[Expr], w: list[Expr]) -> None:
        name = f"llvm.x86.avx512.vpdpbusd.{32 * self.lanes}"
        total.set(tirx.call_llvm_pure_intrin(typed("int32", self.lanes), name, total.get(), x[0], w[0]))


class Pairs(Unit):
    """x86 without it: bytes widened to sixteen bits, two products a lane (`vpmaddwd`), none of which saturates."""

    def arranged(self, weights: NDArray[np.int8]) -> NDArray[np.int8]:
        pairs = weights.reshape(*weights.shape[:-2], self.depth // 2, 2, self.lanes)
        return np.ascontiguousarray(pairs.swapaxes(-1, -2)).reshape(weights.shape)

    def activations(self, code: Code, x: Operand, at: Expr, count: int) -> list[Expr]:
        wide = cast(padded_load(x, at, count, self.depth), "int16", self.depth)
        words = code.let("words", tirx.reinterpret(f"int32x{self.depth // 2}", wide))
        found = []
        for pair in range(self.depth // 2):
            word = tirx.Broadcast(tirx.Shuffle([words], [tirx.IntImm("int32", pair)]), self.lanes)
            found.append(code.let(f"x{pair}", tirx.reinterpret(f"int16x{2 * self.lanes}", word)))
        return found

    def weights(self, code: Code, weight: Operand, at: Expr) -> list[Expr]:
        lanes = 2 * self.lanes
        return [
            code.let(f"w{pair}", cast(weight.load(at + pair * lanes, lanes), "int16", lanes))
            for pair in range(self.depth // 2)
        ]

    def add(self, total: Sum, x: list[Expr], w: list[Expr]) -> None:
        name = "llvm.x86.avx2.pmadd.wd" if self.lanes == 8 else "llvm.x86.sse2.pmadd.wd"
        for a, b in zip(x, w, strict=True):
            total.add(tirx.call_llvm_pure_intrin(typed("int32", self.lanes), name, a, b))


class Products(Unit):
    """Any target: one product a lane at a time, in 32 bits."""

    def arranged(self, weights: NDArray[np.int8]) -> NDArray[np.int8]:
        return np.ascontiguousarray(weights)

    def activations(self, code: Code, x: Operand, at: Expr, count: int) -> list[Expr]:
        return [code.let(f"x{i}", cast(x.load(at + i), "int32", 1)) for i in range(count)]

    def weights(self, code: Code, weight: Operand, at: Expr) -> list[Expr]:
        return [
            code.let(f"w{i}", cast(weight.load(at + i * self.lanes, self.lanes), "int32", self.lanes))
            for i in range(self.depth)
        ]

    def add(self, total: Sum, x: list[Expr], w: list[Expr]) -> None:
        for a, b in zip(x, w, strict=False):
            total.add(number(a, self.lanes) * b)


def unit_for(machine: Machine, dtype: str) -> Unit:
    """The best way of a target to multiply activations of this dtype."""
    if machine.has("avx512vnni") and machine.has("avx512vl") and machine.lanes == 16:
        return Vnni(16, 4, 32, dtype)
    if machine.has("avx512vnni") and machine.has("avx512vl"):
        return Vnni(8, 4, 32, dtype)
    if machine.has("avxvnni"):
        return Vnni(8, 4, 16, dtype)
    if machine.has("avx2"):
        return Pairs(8, 4, 16, dtype)
    if machine.has("sse2"):
        return Pairs(4, 4, 16, dtype)
    return Products(machine.lanes, 4, machine.registers, dtype)
