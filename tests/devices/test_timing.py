"""Timings: what only ever adds time does not move the result, and its variance is what repeating it shows."""

import numpy as np
import pytest

from splitkit.devices import Timing


def test_bursts_in_most_runs_leave_the_undisturbed_time_as_it_is() -> None:
    rng = np.random.default_rng(0)
    quiet = rng.normal(100.0, 0.5, 400)
    disturbed = quiet + np.where(rng.random(400) < 0.7, rng.uniform(10.0, 60.0, 400), 0.0)
    assert np.median(disturbed) > 112
    assert Timing(disturbed).undisturbed == pytest.approx(Timing(quiet).undisturbed, rel=0.01)


@pytest.mark.parametrize("draw", ["normal", "exponential"])
def test_variance_is_that_of_repeated_timings(draw: str) -> None:
    rng = np.random.default_rng(1)
    timings = [Timing(50.0 + getattr(rng, draw)(size=200)) for _ in range(2000)]
    seen = np.var([timing.undisturbed for timing in timings])
    assert np.mean([timing.variance for timing in timings]) == pytest.approx(float(seen), rel=0.2)


def test_equal_samples_vary_not_at_all() -> None:
    timing = Timing(np.full(3, 7.0))
    assert (timing.undisturbed, timing.variance) == (7.0, 0.0)


@pytest.mark.parametrize("samples", [[], [1.0, np.nan], [-1.0, 2.0]])
def test_impossible_samples_are_refused(samples: list[float]) -> None:
    with pytest.raises(ValueError, match="finite times"):
        Timing(np.array(samples))
