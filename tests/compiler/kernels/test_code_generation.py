"""What the inner loops become on every kind of target: fused multiply-adds on full vectors, nothing called."""

import re

import pytest

from splitkit.compiler.library import Library
from splitkit.compiler.machine import Machine, block_for
from splitkit.compiler.spec import Activation, ConvSpec, Epilogue, LinearSpec, Spec
from splitkit.compiler.target import CompileTarget
from tests.compiler.test_machine import TARGETS

VECTOR_FMA = {
    "avx512 intel": r"vfmadd\w+ps\s.*%zmm",
    "avx512 amd": r"vfmadd\w+ps\s.*%zmm",
    "avx2": r"vfmadd\w+ps\s.*%ymm",
    "neon": r"fmla\s+v\d+\.4s",
    "helium": r"vfma\.f32\s+q\d",
    "scalar": r"vfma\w*\.f32\s+s\d",
}


def specs(machine: Machine, activation: str = "swish") -> dict[str, Spec]:
    def conv(c: int, o: int, kernel: int, stride: int, groups: int = 1) -> ConvSpec:
        pad = (kernel // 2,) * 4
        epilogue = Epilogue(bias=True, activation=Activation(activation))
        blocks, window = (block_for(c, machine), block_for(o, machine)), (kernel, kernel)
        return ConvSpec(1, c, o, (24, 24), window, (stride, stride), pad, (1, 1), groups, *blocks, epilogue=epilogue)

    return {
        "pointwise": conv(32, 96, 1, 1),
        "stem": conv(3, 16, 3, 2),
        "dense": conv(32, 32, 3, 1),
        "grouped": conv(64, 64, 3, 1, groups=2),
        "depthwise": conv(32, 32, 3, 1, groups=32),
        "depthwise with stride": conv(32, 32, 5, 2, groups=32),
        "linear": LinearSpec(1, 96, 64, Epilogue(bias=True)),
    }


@pytest.mark.parametrize("name", VECTOR_FMA)
def test_inner_loops_are_vector_multiply_adds(name: str) -> None:
    machine = Machine.from_target(CompileTarget({"kind": "llvm"} | TARGETS[name][0]))
    for family, spec in specs(machine).items():
        text = Library.build([spec], machine).asm()
        assert len(re.findall(VECTOR_FMA[name], text)) >= 8, family
        called = re.findall(
            r"^\s+(?:bl|blx|callq)\s+(?!__tvm|TVM|once|repeat|kernel|\.L|\*|r\d)(\w+)", text, re.MULTILINE
        )
        assert called == [], family


def test_accumulators_stay_in_registers() -> None:
    machine = Machine.from_target(CompileTarget({"kind": "llvm"} | TARGETS["avx512 amd"][0]))
    text = Library.build([specs(machine, "relu")["pointwise"]], machine).asm()
    kernel = re.search(r"^\S*kernel0:.*?^\s+\.size\s+\S*kernel0", text, re.MULTILINE | re.DOTALL)
    assert kernel
    products = kernel.group().split("vfmadd")[1:-1]
    assert len(products) > 20
    assert not any("(%rsp)" in between for between in products)
