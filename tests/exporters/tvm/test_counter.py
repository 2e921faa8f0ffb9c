"""Kernels are timed in place by a counter that a program may read, on every architecture that has one."""

import pytest

from splitkit.compiler.machine import Machine
from splitkit.compiler.module import ARENA, WEIGHTS, build_module, entries, generate
from splitkit.compiler.target import CompileTarget


@pytest.mark.parametrize(
    ("triple", "processor", "instruction"),
    [
        ("x86_64-linux-gnu", "x86-64", "rdtsc"),
        ("aarch64-linux-gnu", "cortex-a72", "CNTVCT_EL0"),
        ("riscv64-linux-gnu", "generic-rv64", "rdtime"),
    ],
)
def test_the_profiled_entry_reads_the_counter(triple: str, processor: str, instruction: str) -> None:
    machine = Machine.from_target(CompileTarget({"kind": "llvm", "mtriple": triple, "mcpu": processor}))
    module = build_module([], [], [], [], {WEIGHTS: 1, ARENA: 1}, machine)
    assert instruction in generate(module, machine).inspect_source("s")


@pytest.mark.parametrize("triple", ["armv7l-linux-gnueabihf", "aarch64-none-elf"])
def test_elsewhere_kernels_are_called_one_by_one(triple: str) -> None:
    machine = Machine.from_target(CompileTarget({"kind": "llvm", "mtriple": triple, "mcpu": "generic"}))
    assert entries(machine) == ["run", "run_one"]
