"""Networks that splitkit did not design compile and compute what ONNX Runtime does."""

from pathlib import Path

import pytest

from benchmarks.outsider_networks import OUTSIDERS, outsider
from tests.exporters.tvm.test_agreement import check

MOST_FALLBACKS = {"shuffle": 4, "vision-transformer": 6, "fire": 2, "dilated": 2, "u-net": 2, "convnext": 9}
"""Operators left to the compiler's default in the small networks, at most; the others have none."""

QUICK = ("fire", "shuffle", "u-net", "vision-transformer")
"""Between them every kind of operator that the ten have."""


@pytest.mark.parametrize("name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in OUTSIDERS])
def test_outsider_agrees_with_onnx_runtime(name: str, tmp_path: Path) -> None:
    artifact = check(outsider(name, small=True), tmp_path)
    assert sum(artifact.report["fallback"].values()) <= MOST_FALLBACKS.get(name, 0)
