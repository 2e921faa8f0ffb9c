"""Pooling on packed tensors, a channel block at a time."""

from math import ceil, prod

from tvm import tirx

from splitkit.exporters.tvm.machine import Machine
from splitkit.exporters.tvm.schedules.code import Code, Expr, Operand, splat
from splitkit.exporters.tvm.spec import PoolSpec

LOWEST = -3.4028234663852886e38


def pool(spec: PoolSpec, machine: Machine) -> tuple[Code, list[Operand]]:
    """Input (N, ceil(C/v), H, W, v); output the same with the pooled size."""
    code = Code()
    (h, w), (oh, ow), v = spec.size, spec.out_size, spec.block
    blocks = ceil(spec.channels / v)
    x = Operand(code, "x", spec.batch * blocks * h * w * v)
    out = Operand(code, "out", spec.batch * blocks * oh * ow * v)
    kernel = spec.size if spec.mode == "global_avg" else spec.kernel
    padding = (0, 0, 0, 0) if spec.mode == "global_avg" else spec.padding
    maximum = spec.mode == "max"
    with code.loop("b", spec.batch * blocks) as b, code.loop("y", oh) as y, code.loop("z", ow) as z:
        acc = code.register("acc", v)
        acc.set(splat(LOWEST if maximum else 0.0, v))
        top, bottom = _range(code, "r", y, spec.stride[0], padding[0], kernel[0], h)
        left, right = _range(code, "s", z, spec.stride[1], padding[1], kernel[1], w)
        with code.loop("r", bottom - top, top) as r, code.loop("s", right - left, left) as s:
            value = x.load(((b * h + r) * w + s) * v, v)
            acc.set(tirx.Max(acc.get(), value) if maximum else acc.get() + value)
        value = acc.get()
        if not maximum:
            value = value * _weight(spec, kernel, (bottom - top) * (right - left), v)
        out.store(((b * oh + y) * ow + z) * v, value, v)
    return code, [x, out]


def _range(code: Code, name: str, at: Expr, stride: int, before: int, window: int, size: int) -> tuple[Expr, Expr]:
    """First and past-the-last input row (or column) under the window of output `at`."""
    if isinstance(at, int):
        return max(at * stride - before, 0), min(at * stride - before + window, size)
    start = at * stride - before
    first = start if before == 0 else tirx.Max(start, tirx.IntImm("int32", 0))
    last = tirx.Min(start + window, tirx.IntImm("int32", size))
    return code.let(f"{name}0", first), code.let(f"{name}1", last)


def _weight(spec: PoolSpec, kernel: tuple[int, int], covered: Expr, lanes: int) -> Expr:
    if spec.mode == "global_avg" or spec.count_include_pad or isinstance(covered, int):
        count = covered if isinstance(covered, int) and not spec.count_include_pad else prod(kernel)
        return splat(1.0 / count, lanes)
    return splat(tirx.FloatImm("float32", 1.0) / tirx.Cast("float32", covered), lanes)
