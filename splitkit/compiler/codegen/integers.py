"""TensorIR of integer vectors: registers, loads of a few bytes, and the way from a sum back to a byte."""

from tvm import tirx

from splitkit.compiler.codegen.code import Code, Expr, Operand
from splitkit.compiler.machine import Machine


def typed(dtype: str, lanes: int) -> str:
    """TVM's name of a vector type."""
    return dtype if lanes == 1 else f"{dtype}x{lanes}"


def number(value: Expr, lanes: int = 1, dtype: str = "int32") -> Expr:
    """A number, or an expression, in every lane."""
    scalar = tirx.IntImm(dtype, value) if isinstance(value, int) else value
    return scalar if lanes == 1 else tirx.Broadcast(scalar, lanes)


def cast(value: Expr, dtype: str, lanes: int) -> Expr:
    """The same numbers in another type."""
    return tirx.Cast(typed(dtype, lanes), value)


def padded_load(operand: Operand, at: Expr, count: int, lanes: int) -> Expr:
    """`count` elements and zeros behind them; what lies behind them in memory is not read."""
    return padded(operand.load(at, count), operand.buffer.dtype, count, lanes)


def padded(value: Expr, dtype: str, count: int, lanes: int) -> Expr:
    """A vector of `count` lanes, and zeros behind it."""
    if count == lanes:
        return value
    zeros = tirx.Broadcast(tirx.IntImm(dtype, 0), lanes)
    first = max(count, 2)
    parts = [tirx.Broadcast(value, 2) if count == 1 else value, zeros]
    return tirx.Shuffle(parts, [tirx.IntImm("int32", i if i < count else first) for i in range(lanes)])


class Sum:
    """A vector of 32-bit sums that LLVM keeps in a register."""

    def __init__(self, code: Code, name: str, lanes: int) -> None:
        self.code, self.lanes = code, lanes
        self.buffer = tirx.decl_buffer((1,), typed("int32", lanes), name, scope="local")
        code.emit(tirx.AllocBuffer(self.buffer, {"disable_lower_builtin": tirx.IntImm("bool", 1)}))

    def get(self) -> Expr:
        return tirx.BufferLoad(self.buffer, [0])

    def set(self, value: Expr) -> None:
        self.code.emit(tirx.BufferStore(self.buffer, value, [0]))

    def add(self, value: Expr) -> None:
        self.set(self.get() + value)


def high_product(a: Expr, b: Expr, lanes: int, machine: Machine) -> Expr:
    """floor(a b / 2^32) of 32-bit integers.

    Of vectors the even and the odd lanes are multiplied apart, which is what x86 and NEON have: 64-bit products of the
    lower halves of 64-bit lanes. Helium has the operation itself.
    """
    if lanes == 1:
        wide = cast(a, "int64", 1) * cast(b, "int64", 1)
        return cast(tirx.shift_right(wide, number(32, 1, "int64")), "int32", 1)
    if lanes == 4 and machine.has("mve"):
        return tirx.call_llvm_pure_intrin("int32x4", "llvm.arm.mve.vmulh", a, b, number(0))
    half = lanes // 2
    bits = number(32, half, "int64")
    words = [tirx.reinterpret(typed("int64", half), each) for each in (a, b)]
    even = [tirx.shift_right(tirx.shift_left(word, bits), bits) for word in words]
    odd = [tirx.shift_right(word, bits) for word in words]
    products = [tirx.reinterpret(typed("int32", lanes), x * y) for x, y in (even, odd)]
    chosen = [number for i in range(half) for number in (2 * i + 1, lanes + 2 * i + 1)]
    return tirx.Shuffle(products, [tirx.IntImm("int32", i) for i in chosen])


class Rule:
    """The four numbers of a requantisation, an operand of every kernel that ends in bytes: offset, shift, low, high."""

    def __init__(self, code: Code, machine: Machine, dtype: str, bounded: bool) -> None:
        """`bounded` says that low and high are not simply those of the dtype."""
        self.operand = Operand(code, "rule", 4, dtype="int32")
        self.code, self.machine, self.dtype = code, machine, dtype
        self.bounds: tuple[Expr, Expr] = (-128, 127) if dtype == "int8" else (0, 255)
        self.bounded = bounded
        self.offset: Expr = 0
        self.shift: Expr = 0

    def read(self) -> None:
        """Load them; what follows may use them."""
        code, load = self.code, self.operand.load
        self.offset, self.shift = code.let("offset", load(0)), code.let("shift", load(1))
        if self.bounded:
            self.bounds = code.let("low", load(2)), code.let("high", load(3))

    def requantised(self, sums: Expr, multipliers: Expr, lanes: int) -> Expr:
        """Sums of products as bytes, still in 32 bits."""
        return self.rounded(high_product(sums, multipliers, lanes, self.machine), lanes)

    def rounded(self, value: Expr, lanes: int) -> Expr:
        """(value + offset) >> shift within the bounds."""
        value = tirx.shift_right(value + number(self.offset, lanes), number(self.shift, lanes))
        low, high = (number(bound, lanes) for bound in self.bounds)
        return tirx.Min(tirx.Max(self.code.let("value", value), low), high)

    def store(self, out: Operand, at: Expr, value: Expr, lanes: int, count: int) -> None:
        """Store the first `count` lanes of such a value."""
        value = self.code.let("bytes", cast(value, self.dtype, lanes))
        done = 0
        while done < count:
            width = 1 << ((count - done).bit_length() - 1)
            lane = [tirx.IntImm("int32", done + i) for i in range(width)]
            out.store(at + done, value if width == lanes else tirx.Shuffle([value], lane), width)
            done += width
