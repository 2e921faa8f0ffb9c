"""The logistic function of a vector, as a TensorIR expression without a call.

exp(-x) is 2^n 2^f, n being the integer nearest to -x log2(e): n goes into the exponent's bits, 2^f is a polynomial of
degree 5 (relative minimax on [-1/2, 1/2], error 7.5e-8). In all the result is within 2e-7 of the true one, absolute;
arguments are clamped to [-87, 87].
"""

from math import log
from typing import Any

from tvm.script import tirx as T

from splitkit.autograd.native import LANES

_ROUND = 12582912.0
"""1.5 * 2^23: adding it leaves the nearest integer in the low bits of a float32's significand."""

_POWER = (1.0000001192092896, 0.693146944, 0.240221202, 0.0555071346, 0.00967554096, 0.00132764666)
"""2^f by ascending powers of f."""

_INTEGERS = f"int32x{LANES}"


def sigmoid(x: Any) -> Any:
    """1 / (1 + exp(-x)) of `LANES` float32."""
    x, rate, round_ = T.min(T.max(x, constant(-87.0)), constant(87.0)), constant(-1 / log(2)), constant(_ROUND)
    shifted = _fma(x, rate, round_)
    rest = _fma(x, rate, round_ - shifted)
    power = constant(_POWER[-1])
    for coefficient in reversed(_POWER[:-1]):
        power = _fma(power, rest, constant(coefficient))
    whole = T.shift_left(T.reinterpret(_INTEGERS, shifted), T.Broadcast(T.int32(23), LANES))
    exp = T.reinterpret(f"float32x{LANES}", T.reinterpret(_INTEGERS, power) + whole)
    return constant(1.0) / (constant(1.0) + exp)


def _fma(a: Any, b: Any, c: Any) -> Any:
    """a b + c; written as a sum, TVM's simplification would take the rounding out again."""
    return T.call_llvm_pure_intrin(f"float32x{LANES}", "llvm.fmuladd", a, b, c)


def constant(value: float) -> Any:
    """The same in all lanes."""
    return T.Broadcast(T.float32(value), LANES)
