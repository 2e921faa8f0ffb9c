"""Random kernels against double-precision references."""

from dataclasses import replace
from random import Random

import pytest

from splitkit.compiler.codegen import parallel
from splitkit.compiler.library import Library
from splitkit.compiler.machine import Machine
from splitkit.compiler.target import CompileTarget
from tests.compiler.kernels.reference import TOLERANCE, error, random_spec

HOST = Machine.from_target(CompileTarget())
RULES_OF = {"avx2": (8, 16), "neon": (4, 32), "helium": (4, 8), "scalar": (1, 32)}
"""Lanes and registers: the kernels these get, compiled for this CPU."""


def failures(count: int, seed: int, machine: Machine = HOST) -> list[str]:
    random = Random(seed)
    library = Library.build([random_spec(random, machine) for _ in range(count)], machine)
    errors = {i: error(library, i, seed + i) for i in range(count)}
    return [f"{library.specs[i]}: {found:.1e}" for i, found in errors.items() if not found <= TOLERANCE]


def test_random_kernels_agree_with_the_reference() -> None:
    assert failures(60, seed=0) == []


def test_kernels_split_over_threads_agree_with_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "SHARE_NS", 0)  # every kernel is shared
    assert failures(25, seed=100, machine=replace(HOST, threads=3)) == []


@pytest.mark.parametrize("name", RULES_OF)
def test_kernels_of_other_vector_widths_agree_with_the_reference(name: str) -> None:
    lanes, registers = RULES_OF[name]
    assert failures(12, seed=200 + lanes, machine=replace(HOST, lanes=lanes, registers=registers)) == []


@pytest.mark.slow
def test_many_random_kernels_agree_with_the_reference() -> None:
    assert [failure for seed in range(1, 9) for failure in failures(50, seed)] == []
