"""The few TensorIR nodes that schedules are written in.

Kernels are emitted in lowered form: flat buffers over raw pointers, explicit vectors, accumulators as one-element
vector buffers that LLVM promotes to registers. No schedule primitive and no lowering pass stands between what a
schedule says and what LLVM gets, which keeps compile time down and the register tile as it was written.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tvm import tirx
from tvm.ir import PointerType, PrimType

from splitkit.compiler.codegen.threads import SHARED

Expr = Any
"""A TensorIR expression or a Python number."""


def vector_type(lanes: int) -> str:
    """float32 of so many lanes."""
    return "float32" if lanes == 1 else f"float32x{lanes}"


def splat(value: Expr, lanes: int) -> Expr:
    """The scalar in every lane."""
    scalar = tirx.FloatImm("float32", float(value)) if isinstance(value, int | float) else value
    return scalar if lanes == 1 else tirx.Broadcast(scalar, lanes)


def fma(a: Expr, b: Expr, c: Expr, lanes: int) -> Expr:
    """a * b + c, fused where the target can (`llvm.fmuladd` never becomes a library call)."""
    return tirx.call_llvm_pure_intrin(vector_type(lanes), "llvm.fmuladd", a, b, c)


def integer(value: Expr) -> Expr:
    """An int32 expression."""
    return tirx.IntImm("int32", value) if isinstance(value, int) else value


def divide(a: Expr, b: int) -> Expr:
    """a // b of an expression that is not negative."""
    if isinstance(a, int):
        return a // b
    if b == 1:
        return a
    return tirx.truncdiv(a, integer(b))


def part(vector: Expr, start: int, lanes: int, of: int) -> Expr:
    """Lanes [start, start + lanes) of a vector of `of` lanes."""
    if lanes == of:
        return vector
    return tirx.Shuffle([vector], [tirx.IntImm("int32", start + i) for i in range(lanes)])


def join(vectors: Sequence[Expr], lanes: int) -> Expr:
    """One vector of equal parts; where they do not fill it, the first is repeated."""
    size = int(vectors[0].ty.dtype.lanes)
    if size == lanes:
        return vectors[0]
    filled = [*vectors, *[vectors[0]] * (lanes // size - len(vectors))]
    return tirx.Shuffle(filled, [tirx.IntImm("int32", i) for i in range(lanes)])


class Register:
    """A vector variable that LLVM keeps in a register."""

    def __init__(self, code: "Code", name: str, lanes: int) -> None:
        self.code, self.lanes = code, lanes
        self.buffer = tirx.decl_buffer((1,), vector_type(lanes), name, scope="local")
        # The annotation keeps the slot on the stack: kernels have no device context to allocate from.
        code.emit(tirx.AllocBuffer(self.buffer, {"disable_lower_builtin": tirx.IntImm("bool", 1)}))

    def get(self) -> Expr:
        return tirx.BufferLoad(self.buffer, [0])

    def set(self, value: Expr) -> None:
        self.code.emit(tirx.BufferStore(self.buffer, value, [0]))

    def add_product(self, a: Expr, b: Expr) -> None:
        self.set(fma(a, b, self.get(), self.lanes))


class Operand:
    """An array in memory, a parameter of the kernel; float32 unless it says otherwise."""

    def __init__(self, code: "Code", name: str, elements: int, copies: int = 1, dtype: str = "float32") -> None:
        """With several `copies`, one after the other, every thread has its own."""
        self.code, self.elements = code, elements
        self.pointer = tirx.Var(f"{name}_ptr", PointerType(PrimType(dtype)))
        self.buffer = tirx.decl_buffer((elements,), dtype, name)
        data = self.pointer
        if copies > 1:
            data = tirx.handle_add_byte_offset(data, code.share() * (4 * elements))
        code.emit(tirx.DeclBuffer(self.buffer, data=data))

    def load(self, index: Expr, lanes: int = 1) -> Expr:
        return tirx.BufferLoad(self.buffer, [index if lanes == 1 else tirx.Ramp(index, 1, lanes)])

    def store(self, index: Expr, value: Expr, lanes: int = 1) -> None:
        at = index if lanes == 1 else tirx.Ramp(index, 1, lanes)
        self.code.emit(tirx.BufferStore(self.buffer, value, [at]))


class Code:
    """Statements of a kernel in the order in which they are emitted."""

    def __init__(self) -> None:
        self._statements: list[Any] = []
        self.thread: Any = None

    def emit(self, statement: Any) -> None:
        self._statements.append(statement)

    def share(self) -> Expr:
        """Number of the thread that runs the kernel: from now on all of them run it at once, each on its share."""
        if self.thread is None:
            self.thread = tirx.Var("thread", "int32")
        return self.thread

    def let(self, name: str, value: Expr) -> Expr:
        """Name a value so that it is computed once."""
        if isinstance(value, int | float):
            return value
        var = tirx.Var(name, value.ty)
        self.emit(tirx.Bind(var, value))
        return var

    def register(self, name: str, lanes: int) -> Register:
        return Register(self, name, lanes)

    @contextmanager
    def block(self) -> Iterator[list[Any]]:
        """Collect what is emitted inside instead of appending it."""
        outer, self._statements = self._statements, []
        try:
            yield self._statements
        finally:
            self._statements = outer

    @contextmanager
    def loop(self, name: str, extent: Expr, start: Expr = 0) -> Iterator[Expr]:
        """`for name in [start, start + extent)`; a single iteration is emitted without a loop."""
        if isinstance(extent, int) and extent == 1:
            yield start
            return
        var = tirx.Var(name, "int32")
        with self.block() as body:
            yield var
        if body and not (isinstance(extent, int) and extent <= 0):
            self.emit(tirx.For(var, start, extent, tirx.ForKind.SERIAL, sequence(body)))

    @contextmanager
    def when(self, condition: Expr) -> Iterator[None]:
        """`if condition`."""
        with self.block() as body:
            yield
        self.emit(tirx.IfThenElse(condition, sequence(body), None))

    def function(self, operands: Sequence[Operand]) -> Any:
        """The private function of these operands, which do not overlap."""
        return self.function_of([operand.pointer for operand in operands])

    def function_of(self, pointers: Sequence[Any]) -> Any:
        """The private function of these parameters, and of the thread's number if it is shared."""
        func = tirx.PrimFunc([*pointers], sequence(self._statements))
        if self.thread is not None:
            func = tirx.PrimFunc([*pointers, self.thread], func.body).with_attr(SHARED, True)
        return func.with_attr("tirx.noalias", True)


def sequence(statements: Sequence[Any]) -> Any:
    """One statement of several."""
    return statements[0] if len(statements) == 1 else tirx.SeqStmt(list(statements))
