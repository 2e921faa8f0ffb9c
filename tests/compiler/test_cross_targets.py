"""Kernels for emulated cores agree with TVM's default schedule, which takes more instructions."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PROGRAMS = {
    "cortex-a72": ("qemu-system-aarch64", "aarch64-linux-gnu-gcc"),
    "cortex-m7": ("qemu-system-arm", "arm-none-eabi-gcc"),
    "cortex-m55": ("qemu-system-arm", "arm-none-eabi-gcc"),
}


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return import_module("cross_targets")


@pytest.mark.toolchain
@pytest.mark.parametrize("target", PROGRAMS)
@pytest.mark.parametrize("operator", ["dense", "depthwise"])
def test_fewer_instructions_than_the_default_schedule(
    target: str, operator: str, benchmark: Any, needs: Callable[..., None], tmp_path: Path
) -> None:
    needs(*PROGRAMS[target])
    core = benchmark.cores([target])[target]
    row = benchmark.row(target, core, operator, benchmark.LAYERS[operator], tmp_path)
    assert row["error"] < 1e-5
    assert row["multiply_adds_in_code"] >= 8
    assert row["times_fewer"] > 1.5
    assert 0.25 < row["per_mac"] < row["tvm_default_per_mac"]


@pytest.mark.toolchain
def test_counts_repeat_exactly(benchmark: Any, needs: Callable[..., None], tmp_path: Path) -> None:
    needs(*PROGRAMS["cortex-a72"])
    core = benchmark.cores(["cortex-a72"])["cortex-a72"]
    model = benchmark.model_of(benchmark.LAYERS["linear"])
    artifact = benchmark.BareMetalExporter("linear").compile(model, core.target, tmp_path / "linear")
    assert len({core.count(artifact).instructions for _ in range(3)}) == 1
