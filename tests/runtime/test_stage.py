from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from splitkit.bundle import Bundle
from splitkit.runtime.clock import OWN_PROCESSOR, now_ns
from splitkit.runtime.stage import Stage
from tests.bundle.bundles import exported


class Doubler:
    """A session that doubles its input and says that it takes 100 us."""

    def __init__(self) -> None:
        self.timed = 0

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        return {"y": inputs["x"] * 2}

    def time_ns(self, repeats: int) -> NDArray[np.int64]:
        self.timed += repeats
        return np.full(repeats, 100_000)


def stage(time_scale: float, fixed_us: float | None = None) -> Stage:
    return Stage(Doubler(), ("x",), "y", time_scale, fixed_us, "test", OWN_PROCESSOR)


@pytest.mark.parametrize(("time_scale", "fixed_us", "due_us"), [(2000.0, None, 200_000), (1.0, 90_000, 90_000)])
def test_emulated_stage_ends_exactly_when_it_is_due(time_scale: float, fixed_us: float | None, due_us: int) -> None:
    start = now_ns()
    result, done_ns = stage(time_scale, fixed_us).run(np.ones(3), start)
    np.testing.assert_array_equal(result, [2, 2, 2])
    assert done_ns == start + due_us * 1000
    assert now_ns() >= done_ns


def test_emulated_stage_that_is_due_before_it_has_computed_ends_then() -> None:
    start = now_ns()
    _, done_ns = stage(1.0001).run(np.ones(3), start - 1_000_000)
    assert start < done_ns <= now_ns()


def test_unscaled_stage_takes_its_own_time() -> None:
    plain = stage(1.0)
    before = now_ns()
    _, done_ns = plain.run(np.ones(3))
    assert before < done_ns <= now_ns()
    assert isinstance(plain.session, Doubler)
    assert plain.session.timed == 0


def test_modelled_stage_slower_here_ends_when_it_ends() -> None:
    before = now_ns()
    _, done_ns = stage(1.0, fixed_us=0.001).run(np.ones(3))
    assert done_ns > before + 1


def test_side_that_computes_nothing_passes_its_input_on() -> None:
    raw: Bundle = exported(0, "float32")
    sensor = Stage.of(raw, "sensor")
    image = np.zeros((1, 1, 32, 32), np.uint8)
    assert sensor.run(image)[0] is image
    assert sensor.label == "nothing to compute"
