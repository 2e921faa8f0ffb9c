"""Point-wise functions in vector arithmetic, without a library call.

The exponential is a degree-6 polynomial on [-ln 2 / 2, ln 2 / 2] after range reduction with ln 2 split in two
(Cody and Waite, "Software Manual for the Elementary Functions", 1980); its relative error is below 3e-7 for arguments
in [-87, 88], outside of which the argument is clamped. The error function is 7.1.26 of Abramowitz and Stegun, absolute
error 1.5e-7.
"""

from math import erf, exp, log, tanh

from tvm import tirx

from splitkit.exporters.tvm.schedules.code import Code, Expr, fma, splat
from splitkit.exporters.tvm.spec import Activation

_ROUND = 12582912.0
"""1.5 * 2**23: adding it leaves the nearest integer in the low bits of a float32's significand."""
_EXP = (1.0, 1.0, 0.5, 1.6666667e-1, 4.1666485e-2, 8.3334519e-3, 1.3981999e-3)
_ERF = (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)


def activate(code: Code, act: Activation, x: Expr, lanes: int) -> Expr:
    """`act` of a vector `x` that is a variable (it is used several times)."""
    match act.kind:
        case "relu":
            return tirx.Max(x, splat(0.0, lanes))
        case "clip":
            return _clip(x, act.low, act.high, lanes)
        case "hard_sigmoid":
            return _clip(fma(x, splat(act.alpha, lanes), splat(act.beta, lanes), lanes), 0.0, 1.0, lanes)
        case "hard_swish":
            gate = _clip(fma(x, splat(1 / 6, lanes), splat(0.5, lanes), lanes), 0.0, 1.0, lanes)
            return x * gate
        case "leaky_relu":
            return tirx.Select(x > splat(0.0, lanes), x, x * splat(act.alpha, lanes))
        case "sigmoid":
            return splat(1.0, lanes) / _one_plus_exp_minus(code, x, lanes)
        case "swish":
            return x / _one_plus_exp_minus(code, x, lanes)
        case "tanh":
            twice = code.let("twice", x * splat(2.0, lanes))
            return fma(
                splat(1.0, lanes) / _one_plus_exp_minus(code, twice, lanes),
                splat(2.0, lanes),
                splat(-1.0, lanes),
                lanes,
            )
        case "gelu":
            return _gelu(code, x, lanes)
    raise AssertionError(f"no schedule for the activation {act.kind}")


def value_at_zero(act: Activation | None) -> float:
    """What the activation makes of 0: decides whether channels that only pad a block must be masked."""
    if act is None:
        return 0.0
    match act.kind:
        case "clip":
            return min(max(0.0, act.low), act.high)
        case "hard_sigmoid":
            return min(max(act.beta, 0.0), 1.0)
        case "sigmoid":
            return 0.5
    return 0.0


def reference(act: Activation, x: float) -> float:
    """The same function in double precision."""
    match act.kind:
        case "relu":
            return max(x, 0.0)
        case "clip":
            return min(max(x, act.low), act.high)
        case "hard_sigmoid":
            return min(max(act.alpha * x + act.beta, 0.0), 1.0)
        case "hard_swish":
            return x * min(max(x / 6 + 0.5, 0.0), 1.0)
        case "leaky_relu":
            return x if x > 0 else act.alpha * x
        case "sigmoid":
            return 1 / (1 + exp(-x))
        case "swish":
            return x / (1 + exp(-x))
        case "tanh":
            return tanh(x)
        case "gelu":
            return 0.5 * x * (1 + erf(x / 2**0.5))
    raise AssertionError(f"no reference for the activation {act.kind}")


def _clip(x: Expr, low: float, high: float, lanes: int) -> Expr:
    return tirx.Min(tirx.Max(x, splat(low, lanes)), splat(high, lanes))


def _one_plus_exp_minus(code: Code, x: Expr, lanes: int) -> Expr:
    return exponential(code, splat(0.0, lanes) - x, lanes) + splat(1.0, lanes)


def exponential(code: Code, x: Expr, lanes: int) -> Expr:
    """exp(x), `x` clamped to [-87, 88]."""
    x = code.let("e_x", _clip(x, -87.0, 88.0, lanes))
    shifted = code.let("e_s", fma(x, splat(1 / log(2), lanes), splat(_ROUND, lanes), lanes))
    whole = code.let("e_n", shifted - splat(_ROUND, lanes))
    rest = fma(whole, splat(-0.693359375, lanes), x, lanes)
    rest = code.let("e_r", fma(whole, splat(2.12194440e-4, lanes), rest, lanes))
    poly = splat(_EXP[-1], lanes)
    for coefficient in reversed(_EXP[:-1]):
        poly = fma(poly, rest, splat(coefficient, lanes), lanes)
    integers = "int32" if lanes == 1 else f"int32x{lanes}"
    bits = tirx.reinterpret(integers, shifted)
    # The significand's low bits hold the integer part n; shifted into the exponent they multiply by 2**n.
    scaled = tirx.reinterpret(integers, code.let("e_p", poly)) + tirx.shift_left(bits, _ints(23, lanes))
    return tirx.reinterpret("float32" if lanes == 1 else f"float32x{lanes}", scaled)


def _ints(value: int, lanes: int) -> Expr:
    scalar = tirx.IntImm("int32", value)
    return scalar if lanes == 1 else tirx.Broadcast(scalar, lanes)


def _gelu(code: Code, x: Expr, lanes: int) -> Expr:
    z = code.let("g_z", x * splat(0.5**0.5, lanes))
    magnitude = code.let("g_m", tirx.Max(z, splat(0.0, lanes) - z))
    t = code.let("g_t", splat(1.0, lanes) / fma(magnitude, splat(0.3275911, lanes), splat(1.0, lanes), lanes))
    poly = splat(_ERF[-1], lanes)
    for coefficient in reversed(_ERF[:-1]):
        poly = fma(poly, t, splat(coefficient, lanes), lanes)
    tail = code.let("g_e", poly * t * exponential(code, splat(0.0, lanes) - magnitude * magnitude, lanes))
    # 1 + erf(z) is 2 - tail for z > 0 and tail otherwise.
    factor = tirx.Select(z > splat(0.0, lanes), splat(2.0, lanes) - tail, tail)
    return x * splat(0.5, lanes) * factor
