"""The one schedule of element-wise chains: nested loops, the last axis in whole vectors, a tail of the right width.

The error function is 7.1.26 of Abramowitz and Stegun, "Handbook of Mathematical Functions", absolute error 1.5e-7.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from typing import Any

from tvm import tirx
from tvm.ir import PointerType, PrimType

from splitkit.compiler.codegen.activation import activate, exponential
from splitkit.compiler.codegen.code import Code, Expr, fma, splat, vector_type
from splitkit.compiler.codegen.parallel import shared
from splitkit.compiler.machine import Machine
from splitkit.compiler.spec import Activation, ElementwiseSpec, Operand, Step

PARALLEL_ELEMENTS = 1 << 17
"""Chains shorter than this stay on one thread."""

_BINARY = {"add": tirx.Add, "sub": tirx.Sub, "mul": tirx.Mul, "div": tirx.Div, "max": tirx.Max, "min": tirx.Min}
_INTRINSIC = {
    "sqrt": "llvm.sqrt",
    "floor": "llvm.floor",
    "ceil": "llvm.ceil",
    "round": "llvm.rint",
    "abs": "llvm.fabs",
    "log": "llvm.log",
}
_ACTIVATIONS = frozenset(
    {"relu", "clip", "hard_swish", "hard_sigmoid", "swish", "sigmoid", "tanh", "gelu", "leaky_relu"}
)
_ROUNDING = frozenset({"round", "floor", "ceil", "cast"})
_ERF = (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)


def emit_elementwise(spec: ElementwiseSpec, machine: Machine) -> Any:
    """The private `tirx.PrimFunc` of a chain."""
    return _Emitter(spec, machine).function()


class _Emitter:
    def __init__(self, spec: ElementwiseSpec, machine: Machine) -> None:
        self.spec, self.machine = spec, machine
        # A chain that rounds must round the very quotients that others round.
        self.reciprocals = not any(s.op in _ROUNDING for s in spec.steps)
        self.code = Code()
        self.inputs = [self._array(f"x{i}", o.dtype, _elements(spec, o)) for i, o in enumerate(spec.inputs)]
        self.output = self._array("out", spec.dtype, prod(spec.shape))

    def _array(self, name: str, dtype: str, elements: int) -> tuple[Any, Any]:
        pointer = tirx.Var(f"{name}_ptr", PointerType(PrimType(dtype)))
        buffer = tirx.decl_buffer((elements,), dtype, name)
        self.code.emit(tirx.DeclBuffer(buffer, data=pointer))
        return pointer, buffer

    def function(self) -> Any:
        self._axis(0, [])
        return self.code.function_of([pointer for pointer, _ in [*self.inputs, self.output]])

    def _axis(self, axis: int, indices: list[Expr]) -> None:
        extent = self.spec.shape[axis]
        if axis < len(self.spec.shape) - 1:
            with self._pieces(f"a{axis}", axis, extent) as index:
                self._axis(axis + 1, [*indices, index])
            return
        lanes = min(self.machine.lanes, extent)
        whole, tail = divmod(extent, lanes)
        # A chain over a single axis has no outer loop to share out; its vectors are shared out instead.
        with self._pieces("v", axis, whole) as vector:
            self._vector(indices, vector * lanes, lanes)
        if tail:
            self._vector(indices, whole * lanes, tail)

    @contextmanager
    def _pieces(self, name: str, axis: int, extent: int) -> Iterator[Expr]:
        """Loop over an axis; the outermost is shared out if the chain is long enough."""
        threads = self.machine.threads if axis == 0 and prod(self.spec.shape) >= PARALLEL_ELEMENTS else 1
        with shared(self.code, extent, threads) as share, share.pieces(name, 0, extent) as index:
            yield index

    def _vector(self, indices: list[Expr], start: Expr, lanes: int) -> None:
        values: dict[str, Expr] = {}
        for i, operand in enumerate(self.spec.inputs):
            values[f"i{i}"] = self._load(i, operand, indices, start, lanes)
        for k, step in enumerate(self.spec.steps):
            args = [values[a] if a in values else splat(float(a), lanes) for a in step.args]
            values[f"s{k}"] = self.code.let(f"s{k}", self._step(step, args, lanes))
        value = _convert(values[f"s{len(self.spec.steps) - 1}"], self.spec.dtype, lanes)
        at = self._index(Operand("", (True,) * len(self.spec.shape)), indices, start)
        self.code.emit(tirx.BufferStore(self.output[1], value, [_ramp(at, lanes)]))

    def _load(self, i: int, operand: Operand, indices: list[Expr], start: Expr, lanes: int) -> Expr:
        at = self._index(operand, indices, start)
        wide = operand.axes[-1]
        loaded = tirx.BufferLoad(self.inputs[i][1], [_ramp(at, lanes) if wide else at])
        width = lanes if wide else 1
        value = loaded if operand.dtype == "float32" else tirx.Cast(vector_type(width), loaded)
        return self.code.let(f"x{i}", value if wide or lanes == 1 else tirx.Broadcast(value, lanes))

    def _index(self, operand: Operand, indices: list[Expr], start: Expr) -> Expr:
        """Element of an operand that holds only the axes it varies over."""
        at: Expr = 0
        for extent, index, varies in zip(self.spec.shape, [*indices, start], operand.axes, strict=True):
            if varies:
                at = at * extent + index
        return at if not isinstance(at, int) else tirx.IntImm("int32", at)

    def _step(self, step: Step, args: list[Expr], lanes: int) -> Expr:
        x = args[0]
        if step.op == "div" and self.reciprocals and _is_number(step.args[1]):
            return x * splat(1 / float(step.args[1]), lanes)
        if step.op in _BINARY:
            return _BINARY[step.op](x, args[1])
        if step.op in _INTRINSIC:
            return tirx.call_llvm_pure_intrin(vector_type(lanes), _INTRINSIC[step.op], x)
        if step.op in _ACTIVATIONS:
            return activate(self.code, _activation(step), self.code.let("x", x), lanes)
        match step.op:
            case "copy":
                return x
            case "neg":
                return splat(0.0, lanes) - x
            case "reciprocal":
                return splat(1.0, lanes) / x
            case "exp":
                return exponential(self.code, x, 1.0, lanes)
            case "erf":
                return self._erf(x, lanes)
            case "pow":
                return self._power(x, step.args[1], args[1], lanes)
            case "cast":
                return _rounded(x, step.text, lanes)
        raise AssertionError(f"no schedule for the step {step.op}")

    def _power(self, x: Expr, text: str, exponent: Expr, lanes: int) -> Expr:
        if text == "2.0":
            return x * x
        if text == "0.5":
            return tirx.call_llvm_pure_intrin(vector_type(lanes), "llvm.sqrt", x)
        return tirx.call_llvm_pure_intrin(vector_type(lanes), "llvm.pow", x, exponent)

    def _erf(self, x: Expr, lanes: int) -> Expr:
        code, zero, one = self.code, splat(0.0, lanes), splat(1.0, lanes)
        magnitude = code.let("m", tirx.Max(x, zero - x))
        t = code.let("t", one / fma(magnitude, splat(0.3275911, lanes), one, lanes))
        poly = splat(_ERF[-1], lanes)
        for coefficient in reversed(_ERF[:-1]):
            poly = fma(poly, t, splat(coefficient, lanes), lanes)
        tail = code.let("e", poly * t * exponential(code, magnitude * magnitude, -1.0, lanes))
        return tirx.Select(x > zero, one - tail, tail - one)


def _elements(spec: ElementwiseSpec, operand: Operand) -> int:
    return prod(e for e, varies in zip(spec.shape, operand.axes, strict=True) if varies)


def _is_number(argument: str) -> bool:
    return argument[0] not in "is" and float(argument) != 0


def _ramp(index: Expr, lanes: int) -> Expr:
    return index if lanes == 1 else tirx.Ramp(index, 1, lanes)


def _typed(dtype: str, lanes: int) -> str:
    return dtype if lanes == 1 else f"{dtype}x{lanes}"


def _convert(value: Expr, dtype: str, lanes: int) -> Expr:
    """float32 to the storage type. Integers go through int32, as LLVM's direct casts to bytes do not vectorise."""
    if dtype == "float32":
        return value
    if dtype == "float16":
        return tirx.Cast(_typed(dtype, lanes), value)
    whole = tirx.Cast(_typed("int32", lanes), value)
    return whole if dtype == "int32" else tirx.Cast(_typed(dtype, lanes), whole)


def _rounded(value: Expr, dtype: str, lanes: int) -> Expr:
    """A value after a cast, as float32 again."""
    if dtype == "float32":
        return value
    return tirx.Cast(vector_type(lanes), _convert(value, dtype, lanes))


def _activation(step: Step) -> Activation:
    numbers = [float(a) for a in step.args[1:]]
    match step.op:
        case "clip":
            return Activation("clip", low=numbers[0], high=numbers[1])
        case "hard_sigmoid":
            return Activation("hard_sigmoid", alpha=numbers[0], beta=numbers[1])
        case "leaky_relu":
            return Activation("leaky_relu", alpha=numbers[0])
    return Activation(step.op)
