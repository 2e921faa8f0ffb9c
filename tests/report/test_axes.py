"""Axes of the report's charts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitkit.report.axes import Axis, duration, size, thousands

VALUES = st.lists(st.floats(min_value=1e-3, max_value=1e9), min_size=1, max_size=20)


@given(VALUES, st.sampled_from([6.0, float("inf")]))
def test_every_value_lies_on_the_axis_and_so_do_the_ticks(values: list[float], wide: float) -> None:
    axis = Axis.over(values, wide=wide)
    assert all(0 <= axis.at(value) <= 1 for value in values)
    ticks = axis.ticks()
    assert all(-1e-6 <= axis.at(tick) <= 1 + 1e-6 for tick in ticks)
    assert len(ticks) <= 12


@given(st.floats(min_value=0.01, max_value=0.999), st.floats(min_value=1e-4, max_value=0.5))
def test_a_linear_axis_has_a_readable_number_of_ticks(low: float, room: float) -> None:
    assert 3 <= len(Axis.over([low, low + room]).ticks()) <= 9


def test_a_wide_range_is_logarithmic_with_ticks_at_round_numbers() -> None:
    axis = Axis.over([80.0, 3000.0], wide=6.0)
    assert axis.logarithmic
    assert axis.ticks() == pytest.approx([100, 200, 500, 1000, 2000])


def test_units_are_those_a_reader_would_choose() -> None:
    assert [duration(us) for us in (1.234, 376.4, 45_000, 2.5e6)] == ["1.23 us", "376 us", "45 ms", "2.5 s"]
    assert [size(count) for count in (64, 20_000, 30 * 2**20)] == ["64 B", "19.5 KiB", "30 MiB"]
    assert thousands(287_900) == "288 k"
