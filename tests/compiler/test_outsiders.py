"""Networks that splitkit did not design compile and compute what ONNX Runtime does."""

from pathlib import Path

import pytest

from benchmarks.outsider_networks import OUTSIDERS, outsider
from tests.compiler.graphs import Net
from tests.compiler.test_agreement import check

MOST_FALLBACKS = {"shuffle": 4, "vision-transformer": 6, "fire": 2, "dilated": 2, "u-net": 2, "convnext": 9}
"""Operators left to the compiler's default in the small networks, at most; the others have none."""

QUICK = ("fire", "shuffle", "u-net", "vision-transformer")
"""Between them every kind of operator that the ten have."""


@pytest.mark.parametrize("name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in OUTSIDERS])
def test_outsider_agrees_with_onnx_runtime(name: str, tmp_path: Path) -> None:
    artifact = check(outsider(name, small=True), tmp_path)
    assert sum(artifact.report["fallback"].values()) <= MOST_FALLBACKS.get(name, 0)


@pytest.mark.parametrize(
    ("kernel", "stride", "pads", "bias"), [(2, 2, 0, True), (3, 3, 0, False), (3, 2, 1, True), (4, 2, 1, False)]
)
def test_transposed_convolution_agrees(kernel: int, stride: int, pads: int, bias: bool, tmp_path: Path) -> None:
    net = Net()
    x = net.act(net.conv(net.input("x", 2, 3, 7, 5), 3, 20, 3), "Relu")
    operands = [x, net.const(net.rng.standard_normal((20, 12, kernel, kernel)) * 0.2)]
    operands += [net.const(net.rng.standard_normal(12))] if bias else []
    y = net.op("ConvTranspose", *operands, strides=[stride] * 2, pads=[pads] * 4, kernel_shape=[kernel] * 2)
    artifact = check(net.model(net.conv(net.act(y, "HardSwish"), 12, 8)), tmp_path)
    assert "ConvTranspose" not in artifact.report["fallback"]
