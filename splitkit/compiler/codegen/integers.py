"""TensorIR of integer vectors: registers, loads of a few bytes, and the way from a sum back to a byte."""

from tvm import tirx

from splitkit.compiler.codegen.code import Code, Expr, Operand


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
    loaded = operand.load(at, count)
    if count == lanes:
        return loaded
    zeros = tirx.Broadcast(tirx.IntImm(operand.buffer.dtype, 0), lanes)
    parts = [tirx.Broadcast(loaded, 2) if count == 1 else loaded, zeros]
    first = 2 if count == 1 else count
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


def high_product(a: Expr, b: Expr, lanes: int) -> Expr:
    """floor(a b / 2^32) of 32-bit integers."""
    wide = cast(a, "int64", lanes) * cast(b, "int64", lanes)
    return cast(tirx.shift_right(wide, number(32, lanes, "int64")), "int32", lanes)


class Rule:
    """The four numbers of a requantisation, an operand of every kernel that ends in bytes: offset, shift, low, high."""

    def __init__(self, code: Code) -> None:
        self.operand = Operand(code, "rule", 4, dtype="int32")
        self.code = code
        self.numbers: list[Expr] = []

    def read(self) -> None:
        """Load them; what follows may use them."""
        names = ("offset", "shift", "low", "high")
        self.numbers = [self.code.let(name, self.operand.load(i)) for i, name in enumerate(names)]

    def bounded(self, sums: Expr, lanes: int) -> Expr:
        """(sums + offset) >> shift within the bounds, as int32."""
        offset, shift, low, high = (number(each, lanes) for each in self.numbers)
        value = tirx.shift_right(sums + offset, shift)
        return tirx.Min(tirx.Max(value, low), high)


def store_bytes(code: Code, out: Operand, dtype: str, at: Expr, value: Expr, lanes: int, count: int) -> None:
    """Store the first `count` lanes of an int32 vector as bytes."""
    value = code.let("bytes", cast(value, dtype, lanes))
    done = 0
    while done < count:
        width = 1 << ((count - done).bit_length() - 1)
        part = value if width == lanes else tirx.Shuffle([value], [tirx.IntImm("int32", done + i) for i in range(width)])
        out.store(at + done, part, width)
        done += width

