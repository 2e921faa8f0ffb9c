"""Random kernels against double-precision references."""

from random import Random

import pytest

from splitkit.exporters.protocol import CompileTarget
from splitkit.exporters.tvm.machine import Machine
from splitkit.exporters.tvm.schedules import parallel
from splitkit.exporters.tvm.schedules.library import Library
from tests.exporters.tvm.schedules.reference import TOLERANCE, error, random_spec


def failures(count: int, seed: int, threads: int = 1) -> list[str]:
    machine = Machine.from_target(CompileTarget(threads=threads))
    random = Random(seed)
    library = Library.build([random_spec(random, machine) for _ in range(count)], machine)
    errors = {i: error(library, i, seed + i) for i in range(count)}
    return [f"{library.specs[i]}: {found:.1e}" for i, found in errors.items() if not found <= TOLERANCE]


def test_random_kernels_agree_with_the_reference() -> None:
    assert failures(60, seed=0) == []


def test_kernels_split_over_threads_agree_with_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "FORK_NS", 0)  # every kernel is worth its fork
    assert failures(25, seed=100, threads=3) == []


@pytest.mark.slow
def test_many_random_kernels_agree_with_the_reference() -> None:
    assert [failure for seed in range(1, 9) for failure in failures(50, seed)] == []
