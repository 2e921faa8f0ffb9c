"""Point-wise functions in vector arithmetic, without a library call.

exp(a x) is 2**n * 2**f with n the nearest integer to a x log2(e): 2**n goes into the exponent, 2**f is a degree-5
polynomial (relative minimax fit on [-1/2, 1/2], error 7.5e-8). With float32 rounding exp is within 2e-6 of the true
value, relative, for arguments in [-20, 20], and clamped beyond +-87; sigmoid and swish are within 2e-7 and 1e-6,
absolute. The error function is 7.1.26 of Abramowitz and Stegun, absolute error 1.5e-7.
"""

from math import erf, exp, log, tanh

from tvm import tirx

from splitkit.compiler.codegen.code import Code, Expr, fma, splat, vector_type
from splitkit.compiler.spec import Activation

_ROUND = 12582912.0
"""1.5 * 2**23: adding it leaves the nearest integer in the low bits of a float32's significand."""
_POWER = (1.0000001192092896, 0.693146944, 0.240221202, 0.0555071346, 0.00967554096, 0.00132764666)
"""2**f by ascending powers of f."""
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
    return exponential(code, x, -1.0, lanes) + splat(1.0, lanes)


def exponential(code: Code, x: Expr, factor: float, lanes: int) -> Expr:
    """exp(factor x), `x` clamped to [-87, 87]."""
    x = code.let("e_x", _clip(x, -87.0, 87.0, lanes))
    rate = splat(factor / log(2), lanes)
    shifted = code.let("e_s", fma(x, rate, splat(_ROUND, lanes), lanes))
    whole = shifted - splat(_ROUND, lanes)
    rest = code.let("e_r", fma(x, rate, splat(0.0, lanes) - whole, lanes))
    power = splat(_POWER[-1], lanes)
    for coefficient in reversed(_POWER[:-1]):
        power = fma(power, rest, splat(coefficient, lanes), lanes)
    integers = "int32" if lanes == 1 else f"int32x{lanes}"
    # The significand's low bits hold the integer part n; shifted into the exponent they multiply by 2**n.
    exponent = tirx.shift_left(tirx.reinterpret(integers, shifted), _ints(23, lanes))
    return tirx.reinterpret(vector_type(lanes), tirx.reinterpret(integers, power) + exponent)


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
    tail = code.let("g_e", poly * t * exponential(code, magnitude * magnitude, -1.0, lanes))
    # 1 + erf(z) is 2 - tail for z > 0 and tail otherwise.
    factor = tirx.Select(z > splat(0.0, lanes), splat(2.0, lanes) - tail, tail)
    return x * splat(0.5, lanes) * factor
