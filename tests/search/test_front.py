"""Fronts: exactly the points nothing beats, and a spread that covers them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitkit.scores import FloatArray
from splitkit.search.choice import fastest_at, reference_accuracy
from splitkit.search.front import hypervolume, pareto_front, spread

POINTS = st.lists(st.tuples(st.integers(0, 8), st.integers(1, 8)), min_size=0, max_size=25)


def beats(a: tuple[int, int], b: tuple[int, int]) -> bool:
    return a != b and a[0] >= b[0] and a[1] <= b[1]


def arrays(points: list[tuple[int, int]]) -> tuple[FloatArray, FloatArray]:
    return np.array([p[0] for p in points], dtype=float), np.array([p[1] for p in points], dtype=float)


@given(POINTS)
def test_the_front_is_what_nothing_beats_each_value_once(points: list[tuple[int, int]]) -> None:
    front = [points[i] for i in pareto_front(*arrays(points))]
    assert sorted(front) == sorted({p for p in points if not any(beats(q, p) for q in points)})
    assert [p[1] for p in front] == sorted(p[1] for p in front)


def test_spread_takes_both_ends_and_no_point_twice() -> None:
    latency = np.array([1.0, 1.1, 1.2, 30.0, 900.0, 1000.0])
    assert spread(latency, 3) == [0, 3, 5]
    assert spread(latency, 6) == spread(latency, 99) == list(range(6))
    assert len(set(spread(np.array([5.0, 5.0, 5.0, 5.0]), 3))) == 3


def test_hypervolume_is_the_area_under_the_staircase() -> None:
    accuracy, latency = np.array([0.5, 0.9]), np.array([1.0, np.e])
    assert hypervolume(accuracy, latency, np.e**2) == pytest.approx(0.5 + 0.9)
    assert hypervolume(accuracy, latency, np.e) == pytest.approx(0.5)
    assert hypervolume(accuracy[:0], latency[:0], 2.0) == 0.0


class Scored:
    def __init__(self, accuracy: float, total_us: float) -> None:
        self.accuracy, self.total_us = accuracy, total_us


def test_the_fastest_at_equal_or_better_accuracy_is_chosen() -> None:
    points = [Scored(0.90, 10.0), Scored(0.95, 20.0), Scored(0.99, 40.0)]
    assert fastest_at(points, 0.95) is points[1]
    assert fastest_at(points, 0.951) is points[2]
    assert fastest_at(points, 0.951, tolerance=0.002) is points[1]
    assert fastest_at(points, 0.995) is None


def test_systems_are_compared_where_all_of_them_reach() -> None:
    assert reference_accuracy([[Scored(0.9, 1), Scored(0.97, 2)], [Scored(0.95, 1)], []]) == 0.95
    assert reference_accuracy([[]]) == 0.0
