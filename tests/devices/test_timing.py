"""Timings: the slow tail is cut, the rest is kept, and the summary is robust."""

import numpy as np
import pytest

from splitkit.devices import Timing


def test_disturbed_samples_are_rejected_and_counted() -> None:
    quiet = np.random.default_rng(0).normal(100.0, 1.0, 60)
    timing = Timing.from_samples(np.concatenate([quiet, [180.0, 950.0]]))
    assert (timing.n, timing.rejected) == (60, 2)
    assert timing.median_us == pytest.approx(100.0, abs=0.5)
    assert timing.spread_us == pytest.approx(1.0, rel=0.4)


def test_fast_samples_are_kept() -> None:
    timing = Timing.from_samples(np.array([100.0] * 20 + [60.0]))
    assert timing.rejected == 0


def test_a_very_quiet_timing_keeps_samples_within_five_percent() -> None:
    timing = Timing.from_samples(np.array([100.0] * 20 + [104.0, 106.0]))
    assert timing.rejected == 1
    assert timing.samples_us.max() == 104.0


def test_variance_of_the_median_falls_with_the_number_of_samples() -> None:
    rng = np.random.default_rng(1)
    medians = [np.median(rng.normal(50.0, 2.0, 40)) for _ in range(2000)]
    timing = Timing.from_samples(rng.normal(50.0, 2.0, 40_000))
    predicted = timing.variance_of_median_us2 * 40_000 / 40
    assert predicted == pytest.approx(float(np.var(medians)), rel=0.15)


@pytest.mark.parametrize("samples", [[], [1.0, np.nan], [-1.0, 2.0]])
def test_impossible_samples_are_refused(samples: list[float]) -> None:
    with pytest.raises(ValueError, match="finite times"):
        Timing.from_samples(np.array(samples))
