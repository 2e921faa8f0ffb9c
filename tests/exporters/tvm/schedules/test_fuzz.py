"""Random kernels against double-precision references."""

from random import Random

import pytest
from reference import TOLERANCE, error, random_spec

from splitkit.exporters.protocol import CompileTarget
from splitkit.exporters.tvm.machine import Machine
from splitkit.exporters.tvm.schedules.library import Library


def failures(count: int, seed: int) -> list[str]:
    machine = Machine.from_target(CompileTarget())
    random = Random(seed)
    library = Library.build([random_spec(random, machine) for _ in range(count)], machine)
    errors = {i: error(library, i, seed + i) for i in range(count)}
    return [f"{library.specs[i]}: {found:.1e}" for i, found in errors.items() if not found <= TOLERANCE]


def test_random_kernels_agree_with_the_reference() -> None:
    assert failures(60, seed=0) == []


@pytest.mark.slow
def test_many_random_kernels_agree_with_the_reference() -> None:
    assert [failure for seed in range(1, 9) for failure in failures(50, seed)] == []
