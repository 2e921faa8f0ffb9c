"""The machine model is read from the target's features."""

from typing import Any

import pytest

from splitkit.compiler.machine import Machine, block_for
from splitkit.compiler.target import CompileTarget
from splitkit.errors import ModelError

X86 = "x86_64-linux-gnu"
TARGETS: dict[str, tuple[dict[str, Any], int, int]] = {
    "avx512 intel": ({"mtriple": X86, "mcpu": "sapphirerapids"}, 16, 32),
    "avx512 amd": ({"mtriple": X86, "mcpu": "znver4"}, 16, 32),
    "avx2": ({"mtriple": X86, "mcpu": "haswell"}, 8, 16),
    "avx2 level": ({"mtriple": X86, "mcpu": "x86-64-v3"}, 8, 16),
    "avx2 by attributes": ({"mtriple": X86, "mattr": ["+avx2", "+fma"]}, 8, 16),
    "sse": ({"mtriple": X86}, 4, 16),
    "neon": ({"mtriple": "aarch64-linux-gnu", "mcpu": "cortex-a72"}, 4, 32),
    "helium": ({"mtriple": "thumbv8.1m.main-none-eabihf", "mcpu": "cortex-m55", "mfloat-abi": "hard"}, 4, 8),
    "scalar": ({"mtriple": "thumbv7em-none-eabihf", "mcpu": "cortex-m7", "mfloat-abi": "hard"}, 1, 32),
}


def machine(name: str) -> Machine:
    return Machine.from_target(CompileTarget({"kind": "llvm"} | TARGETS[name][0]))


@pytest.mark.parametrize("name", TARGETS)
def test_vectors_come_from_the_features(name: str) -> None:
    assert (machine(name).lanes, machine(name).registers) == TARGETS[name][1:]


def test_host_is_this_cpu() -> None:
    host = Machine.from_target(CompileTarget({"kind": "host"}, threads=2))
    assert host.target.kind.name == "llvm"
    assert host.threads == 2
    assert host.l1_bytes >= 8 * 1024


def test_unknown_target_is_the_users_mistake() -> None:
    with pytest.raises(ModelError, match="mystery"):
        Machine.from_target(CompileTarget({"kind": "mystery"}))


@pytest.mark.parametrize(
    ("channels", "block"),
    [(1, 1), (3, 1), (4, 4), (6, 8), (8, 8), (16, 16), (20, 8), (24, 8), (40, 8), (72, 8), (96, 16), (960, 16)],
)
def test_images_stay_plain_and_tails_decide_the_block(channels: int, block: int) -> None:
    assert block_for(channels, machine("avx512 amd")) == block


def test_block_never_exceeds_the_vector_and_scalar_targets_stay_plain() -> None:
    assert {block_for(c, machine("avx2")) for c in range(4, 200)} <= {4, 8}
    assert {block_for(c, machine("neon")) for c in range(4, 200)} == {4}
    assert {block_for(c, machine("scalar")) for c in range(1, 200)} == {1}
