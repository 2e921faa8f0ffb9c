"""What happens to an accumulator before it is stored: bias, activation, residual, activation, zeroed padding.

Channels that only pad a block are zero in every tensor. Weights and bias are padded with zeros, which keeps them zero
through most epilogues; an activation with f(0) != 0 (sigmoid, hard sigmoid) is masked here.
"""

from tvm import tirx

from splitkit.compiler.codegen.activation import activate, value_at_zero
from splitkit.compiler.codegen.code import Code, Expr, splat
from splitkit.compiler.spec import Epilogue


def finish(code: Code, epilogue: Epilogue, value: Expr, bias: Expr | None, residual: Expr | None, lanes: int) -> Expr:
    """The value to store for an accumulator's value; `bias` and `residual` are vectors of as many lanes."""
    if bias is not None:
        value = value + bias
    if epilogue.activation:
        value = activate(code, epilogue.activation, code.let("pre", value), lanes)
    if residual is not None:
        value = value + residual
    if epilogue.residual_activation:
        value = activate(code, epilogue.residual_activation, code.let("sum", value), lanes)
    return value


def needs_mask(epilogue: Epilogue) -> bool:
    """Whether padding channels would not stay zero by themselves."""
    return value_at_zero(epilogue.activation) != 0.0 or value_at_zero(epilogue.residual_activation) != 0.0


def mask(value: Expr, first_channel: Expr, channels: int, lanes: int) -> Expr:
    """Zero in the lanes whose channel number reaches `channels`."""
    if lanes == 1:
        return tirx.Select(tirx.LT(first_channel, tirx.IntImm("int32", channels)), value, splat(0.0, 1))
    numbers = tirx.Ramp(first_channel, 1, lanes)
    return tirx.Select(
        tirx.LT(numbers, tirx.Broadcast(tirx.IntImm("int32", channels), lanes)), value, splat(0.0, lanes)
    )
