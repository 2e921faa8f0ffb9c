"""Sums of products of bytes, by what a target has for them.

A unit multiplies a few channels of one pixel with as many weights of each of its outputs and adds them up in 32 bits.
Activations are unsigned or signed bytes, weights signed. A unit that wants the other sign reads bytes with their top
bit turned, which moves them by 128: `moves` says so, and the sums that a kernel begins with make up for it.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tvm import tirx

from splitkit.compiler.codegen.code import Code, Expr, Operand
from splitkit.compiler.codegen.integers import Sum, cast, number, padded, padded_load, typed
from splitkit.compiler.machine import Machine

MADD = {4: "llvm.x86.sse2.pmadd.wd", 8: "llvm.x86.avx2.pmadd.wd", 16: "llvm.x86.avx512.pmaddw.d.512"}
"""`vpmaddwd`, by the lanes of its sums."""

SCALAR_REGISTERS = 14
"""Whole numbers that scalar code has room for, beside addresses."""

TOP_BITS = -2139062144
"""The top bit of each byte of a word: turned, it makes unsigned bytes signed ones that are 128 less, and back."""


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
    def inner(self) -> bool:
        """Whether it adds up along the channels of one output, instead of along those of many side by side."""
        return isinstance(self, Smlad | Helium)

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


@dataclass(frozen=True)
class Quads(Unit):
    """Four products a lane in one instruction: `vpdpbusd` of x86, `sdot` and `usdot` of Arm.

    Attributes:
        intrinsic: LLVM's name, of (sums, activations, weights).
        wants: dtype of the activations that it takes.
    """

    intrinsic: str
    wants: str

    @property
    def moves(self) -> int:
        if self.dtype == self.wants:
            return 0
        return 128 if self.dtype == "uint8" else -128

    def activations(self, code: Code, x: Operand, at: Expr, count: int) -> list[Expr]:
        word = tirx.reinterpret("int32", padded_load(x, at, count, 4))
        if self.dtype != self.wants:
            word = tirx.bitwise_xor(word, tirx.IntImm("int32", TOP_BITS))
        return [code.let("x", tirx.reinterpret(f"int8x{4 * self.lanes}", number(word, self.lanes)))]

    def weights(self, code: Code, weight: Operand, at: Expr) -> list[Expr]:
        return [code.let("w", weight.load(at, 4 * self.lanes))]

    def add(self, total: Sum, x: list[Expr], w: list[Expr]) -> None:
        dtype = typed("int32", self.lanes)
        total.set(tirx.call_llvm_pure_intrin(dtype, self.intrinsic, total.get(), x[0], w[0]))


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
        for a, b in zip(x, w, strict=True):
            total.add(tirx.call_llvm_pure_intrin(typed("int32", self.lanes), MADD[self.lanes], a, b))


class Smlad(Unit):
    """Arm with the DSP extension: bytes widened to pairs of sixteen bits, two products in one instruction."""

    def activations(self, code: Code, x: Operand, at: Expr, count: int) -> list[Expr]:
        widen = "llvm.arm.sxtb16" if self.dtype == "int8" else "llvm.arm.uxtb16"
        return self._halves(code, "x", widen, padded_load(x, at, count, 4))

    def weights(self, code: Code, weight: Operand, at: Expr) -> list[Expr]:
        return self._halves(code, "w", "llvm.arm.sxtb16", weight.load(at, 4))

    @staticmethod
    def _halves(code: Code, name: str, widen: str, loaded: Expr) -> list[Expr]:
        """Bytes 0 and 2 of a word, and bytes 1 and 3."""
        word = code.let(name, tirx.reinterpret("int32", loaded))
        turned = tirx.call_llvm_pure_intrin("int32", "llvm.fshr", word, word, number(8))
        return [code.let(name, tirx.call_llvm_pure_intrin("int32", widen, each)) for each in (word, turned)]

    def add(self, total: Sum, x: list[Expr], w: list[Expr]) -> None:
        for a, b in zip(x, w, strict=True):
            total.set(tirx.call_llvm_pure_intrin("int32", "llvm.arm.smlad", a, b, total.get()))


class Helium(Unit):
    """Arm with M-profile vectors: sixteen products of signed bytes added to one sum (`vmladava`)."""

    @property
    def moves(self) -> int:
        return 128 if self.dtype == "uint8" else 0

    def activations(self, code: Code, x: Operand, at: Expr, count: int) -> list[Expr]:
        loaded = x.load(at, count)
        if self.dtype == "uint8":  # before zeros are put behind them: weights may follow there
            loaded = tirx.bitwise_xor(loaded, number(tirx.IntImm("uint8", 128), count))
        signed = padded(loaded, self.dtype, count, self.depth)
        return [code.let("x", tirx.reinterpret(f"int8x{self.depth}", signed))]

    def weights(self, code: Code, weight: Operand, at: Expr) -> list[Expr]:
        return [code.let("w", weight.load(at, self.depth))]

    def add(self, total: Sum, x: list[Expr], w: list[Expr]) -> None:
        zero = number(0)
        total.set(
            tirx.call_llvm_pure_intrin("int32", "llvm.arm.mve.vmldava", zero, zero, zero, total.get(), x[0], w[0])
        )


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
    has = machine.has
    if has("avx512vnni") and has("avx512vl"):
        return Quads(machine.lanes, 4, 32, dtype, f"llvm.x86.avx512.vpdpbusd.{32 * machine.lanes}", "uint8")
    if has("avxvnni"):
        return Quads(8, 4, 16, dtype, "llvm.x86.avx512.vpdpbusd.256", "uint8")
    if machine.lanes in MADD and (has("avx512bw") or (has("sse2") and machine.lanes < 16)):
        return Pairs(machine.lanes, 4, machine.registers, dtype)
    if has("i8mm") and has("neon"):
        return Quads(4, 4, 32, dtype, "llvm.aarch64.neon.usdot.v4i32.v16i8", "uint8")
    if has("dotprod") and has("neon"):
        return Quads(4, 4, 32, dtype, "llvm.aarch64.neon.sdot.v4i32.v16i8", "int8")
    if has("mve"):
        return Helium(1, 16, 8, dtype)
    if has("dsp") and machine.lanes == 1:
        return Smlad(1, 4, 8, dtype)
    return Products(machine.lanes, 4, machine.registers if machine.lanes > 1 else SCALAR_REGISTERS, dtype)


@dataclass(frozen=True)
class Rows(ABC):
    """A way to multiply rows that are interleaved: each lane holds the bytes of a few rows of one channel.

    Attributes:
        lanes: channels.
        together: rows of a lane.
        dtype: of the activations.
    """

    lanes: int
    together: int
    dtype: str

    @abstractmethod
    def interleaved(self, code: Code, rows: Sequence[Expr]) -> Expr:
        """As many vectors of bytes as there are rows, or fewer, in one."""

    @abstractmethod
    def weights(self, code: Code, weight: Operand, at: Expr) -> Expr:
        """(lanes, together) bytes from `at`."""

    @abstractmethod
    def add(self, total: Sum, x: Expr, w: Expr) -> None:
        """total += the products, added up for each lane."""


class FourRows(Rows):
    """`vpdpbusd`, of unsigned bytes."""

    def interleaved(self, code: Code, rows: Sequence[Expr]) -> Expr:
        return code.let("x", tirx.reinterpret(f"int8x{4 * self.lanes}", _side_by_side(rows, 8, self.lanes)))

    def weights(self, code: Code, weight: Operand, at: Expr) -> Expr:
        return code.let("w", weight.load(at, 4 * self.lanes))

    def add(self, total: Sum, x: Expr, w: Expr) -> None:
        name = f"llvm.x86.avx512.vpdpbusd.{32 * self.lanes}"
        total.set(tirx.call_llvm_pure_intrin(typed("int32", self.lanes), name, total.get(), x, w))


class TwoRows(Rows):
    """`vpmaddwd`, of bytes of either sign."""

    def interleaved(self, code: Code, rows: Sequence[Expr]) -> Expr:
        return code.let("x", tirx.reinterpret(f"int16x{2 * self.lanes}", _side_by_side(rows, 16, self.lanes)))

    def weights(self, code: Code, weight: Operand, at: Expr) -> Expr:
        return code.let("w", cast(weight.load(at, 2 * self.lanes), "int16", 2 * self.lanes))

    def add(self, total: Sum, x: Expr, w: Expr) -> None:
        total.add(tirx.call_llvm_pure_intrin(typed("int32", self.lanes), MADD[self.lanes], x, w))


def _side_by_side(rows: Sequence[Expr], bits: int, lanes: int) -> Expr:
    """32-bit lanes of `bits` of each row, the first the lowest."""
    mask = number((1 << bits) - 1, lanes)
    found = None
    for i, row in enumerate(rows):
        wide = cast(row, "int32", lanes)
        if i < len(rows) - 1 or i == 0:
            wide = tirx.bitwise_and(wide, mask)  # LLVM drops it where it changes nothing
        shifted = tirx.shift_left(wide, number(bits * i, lanes)) if i else wide
        found = shifted if found is None else tirx.bitwise_or(found, shifted)
    return found


def rows_for(machine: Machine, dtype: str) -> Rows | None:
    """How a target multiplies interleaved rows; None if it has nothing for it."""
    vnni = machine.has("avxvnni") or (machine.has("avx512vnni") and machine.has("avx512vl"))
    if vnni and dtype == "uint8" and machine.lanes >= 8:
        return FourRows(machine.lanes, 4, dtype)
    if machine.lanes in MADD and (machine.has("avx512bw") or (machine.has("sse2") and machine.lanes < 16)):
        return TwoRows(machine.lanes, 2, dtype)
    return None
