"""Copies between channel packings."""

from math import ceil

from tvm import tirx

from splitkit.exporters.tvm.machine import Machine
from splitkit.exporters.tvm.schedules.code import Code, Operand
from splitkit.exporters.tvm.spec import LayoutSpec


def layout(spec: LayoutSpec, machine: Machine) -> tuple[Code, list[Operand]]:
    """Channels past C of the output are zero."""
    code = Code()
    pixels, c, vi, vo = spec.size[0] * spec.size[1], spec.channels, spec.in_block, spec.out_block
    in_blocks, out_blocks = ceil(c / vi), ceil(c / vo)
    x = Operand(code, "x", spec.batch * in_blocks * pixels * vi)
    out = Operand(code, "out", spec.batch * out_blocks * pixels * vo)
    with code.loop("n", spec.batch) as n, code.loop("p", pixels) as p:
        for channel in range(out_blocks * vo):
            value = tirx.FloatImm("float32", 0.0)
            if channel < c:
                value = x.load(((n * in_blocks + channel // vi) * pixels + p) * vi + channel % vi)
            out.store(((n * out_blocks + channel // vo) * pixels + p) * vo + channel % vo, value)
    return code, [x, out]
