"""Any convolution, one output value at a time: correct for every specification, fast for none."""

from math import prod

from tvm import tirx

from splitkit.exporters.tvm.schedules.code import Code, Expr, Operand, divide, integer
from splitkit.exporters.tvm.schedules.epilogue import finish
from splitkit.exporters.tvm.spec import ConvSpec, packed_shape


def conv(spec: ConvSpec) -> tuple[Code, list[Operand]]:
    """Weight: OIHW as it is. Bias: padded to whole blocks."""
    code = Code()
    (h, w), (oh, ow), (kh, kw) = spec.size, spec.out_size, spec.kernel
    vi, vo = spec.in_block, spec.out_block
    in_shape = packed_shape(spec.batch, spec.in_channels, spec.size, vi)
    out_shape = packed_shape(spec.batch, spec.out_channels, spec.out_size, vo)
    x = Operand(code, "x", prod(in_shape))
    operands = [x]
    if spec.input_scale:
        scale = Operand(code, "scale", spec.batch * in_shape[1] * vi)
        operands.append(scale)
    weight = Operand(code, "weight", spec.weight_elements)
    operands.append(weight)
    if spec.epilogue.bias:
        bias = Operand(code, "bias", out_shape[1] * vo)
        operands.append(bias)
    if spec.epilogue.residual:
        residual = Operand(code, "residual", prod(out_shape))
        operands.append(residual)
    out = Operand(code, "out", prod(out_shape))
    operands.append(out)
    per_group, out_per_group = spec.in_channels // spec.groups, spec.out_channels // spec.groups
    with (
        code.loop("n", spec.batch) as n,
        code.loop("ob", out_shape[1]) as ob,
        code.loop("y", oh) as y,
        code.loop("z", ow) as z,
        code.loop("oi", vo) as oi,
    ):
        channel = ob * vo + oi
        at = (((n * out_shape[1] + ob) * oh + y) * ow + z) * vo + oi
        with code.when(_less(channel, spec.out_channels)):
            acc = code.register("acc", 1)
            acc.set(tirx.FloatImm("float32", 0.0))
            group = divide(channel, out_per_group)
            with (
                code.loop("i", per_group) as i,
                code.loop("r", kh) as r,
                code.loop("s", kw) as s,
            ):
                row = y * spec.stride[0] + r * spec.dilation[0] - spec.padding[0]
                col = z * spec.stride[1] + s * spec.dilation[1] - spec.padding[1]
                inside = tirx.And(tirx.And(_less(-1, row), _less(row, h)), tirx.And(_less(-1, col), _less(col, w)))
                with code.when(inside):
                    ic = group * per_group + i
                    ib = divide(ic, vi)
                    value = x.load((((n * in_shape[1] + ib) * h + row) * w + col) * vi + ic - ib * vi)
                    if spec.input_scale:
                        value = value * scale.load(n * in_shape[1] * vi + ic)
                    acc.add_product(value, weight.load(((channel * per_group + i) * kh + r) * kw + s))
            b = bias.load(channel) if spec.epilogue.bias else None
            res = residual.load(at) if spec.epilogue.residual else None
            out.store(at, finish(code, spec.epilogue, acc.get(), b, res, 1))
        if spec.out_channels % vo:
            with code.when(tirx.Not(_less(channel, spec.out_channels))):
                out.store(at, tirx.FloatImm("float32", 0.0))
    return code, operands


def _less(a: Expr, b: Expr) -> Expr:
    return tirx.LT(integer(a), integer(b))
