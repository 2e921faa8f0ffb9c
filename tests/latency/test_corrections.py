"""Measured candidates correct kernels one by one, shrunk to their family, so that candidates can change places."""

import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from splitkit.compiler.kernel import Kernel
from splitkit.errors import ConfigError
from splitkit.latency.corrections import Corrections, SideCorrection
from splitkit.latency.dispatch import Dispatch
from splitkit.latency.measurement import Measurement
from splitkit.latency.rows import GraphTime
from splitkit.sides import Side
from splitkit.space import load_space
from tests.latency.systems import drawn, measurement, side_measurement

DENSE = [Kernel(f"dense-{i}", "", "dense", 1, 1, 1, 1, "{}") for i in range(20)]
WINDOW = [Kernel(f"window-{i}", "", "depthwise", 1, 1, 1, 1, "{}") for i in range(20)]
ARCHITECTURES = drawn(load_space("tiny").restricted("aggregator"), 8)


class Table:
    """Says 10 us of every kernel, and nothing for a graph."""

    def kernel_us(self, side: Side, kernels: Sequence[Kernel]) -> np.ndarray:
        return np.full(len(kernels), 10.0)

    def graph_overhead_us(self, side: Side, kernels: int) -> float:
        return 0.0


def fit(*candidates: tuple[list[Kernel], list[float]], overhead_us: float = 0.0) -> SideCorrection:
    found = [
        measurement(architecture, side_measurement(kernels, us, overhead_us))
        for architecture, (kernels, us) in zip(ARCHITECTURES, candidates, strict=False)
    ]
    return Corrections.fit(Table(), found).aggregator


def test_a_biased_family_is_corrected_for_kernels_never_measured() -> None:
    side = fit((DENSE[:8], [14.0] * 8), (WINDOW[:8], [10.0] * 8))
    assert side.factors(DENSE[8:]) == pytest.approx(1.4, rel=0.02)
    assert side.factors(WINDOW[8:]) == pytest.approx(1.0, rel=0.02)


def test_a_kernel_that_deviates_from_its_family_is_corrected_by_itself() -> None:
    us = [10.0, 10.1, 9.9, 10.0, 10.2, 9.8, 10.0, 15.0]
    factors = fit((DENSE[:8], us)).factors(DENSE[:9])
    assert factors[7] == pytest.approx(1.5, rel=0.05)
    assert factors[0] == pytest.approx(1.0, rel=0.03)
    assert 1.0 < factors[8] < 1.1


def test_candidates_change_places() -> None:
    fast, slow = [DENSE[0], WINDOW[0]], [DENSE[1], DENSE[2]]
    side = fit((DENSE[3:11], [7.0] * 8), (WINDOW[3:11], [13.0] * 8))
    assert side.factors(fast).sum() > side.factors(slow).sum()


def test_noisy_kernels_are_shrunk_to_their_family() -> None:
    def one(variance: float) -> float:
        side = side_measurement(DENSE[:6], [10.0] * 5 + [15.0])
        noisy = replace(side, kernel_variance_us2=(0.01,) * 5 + (variance,))
        fitted = Corrections.fit(Table(), [measurement(ARCHITECTURES[0], noisy)])
        return float(fitted.aggregator.factors([DENSE[5]])[0])

    assert one(100.0) < 1.1 < 1.3 < one(0.01)


def test_what_kernels_do_not_explain_is_one_factor_of_the_side() -> None:
    side = fit((DENSE[:10], [10.0] * 10), (WINDOW[:10], [10.0] * 10), overhead_us=20.0)
    assert side.residual_factor == pytest.approx(1.2, rel=0.02)
    assert Corrections.fit(Table(), []).aggregator == SideCorrection()


def test_corrections_survive_json() -> None:
    fitted = Corrections(aggregator=fit((DENSE[:4], [14.0] * 4)))
    assert Corrections.from_json(json.loads(json.dumps(fitted.to_json()))) == fitted
    with pytest.raises(ConfigError, match="not corrections"):
        Corrections.from_json({"sensor": {}})


def test_measurements_survive_json() -> None:
    found = measurement(ARCHITECTURES[0], side_measurement(DENSE[:2], [1.0, 2.0], overhead_us=0.5))
    again = Measurement.from_json(json.loads(json.dumps(found.to_json())))
    assert again == found
    assert again.total_us == 3.5
    with pytest.raises(ConfigError, match="not a measurement"):
        Measurement.from_json({"architecture": found.architecture.to_json()})


def test_dispatch_is_a_cost_per_graph_and_per_kernel() -> None:
    graphs = [GraphTime(str(n), n, 3.0 * n, 3.0 * n + 4.0 - 0.05 * n, 0.0) for n in (10, 25, 30, 60)]
    fitted = Dispatch.fit(graphs)
    assert fitted.per_graph == pytest.approx(4.0)
    assert fitted.per_kernel == pytest.approx(-0.05)
    assert Dispatch.fit(graphs[:1]).per_kernel == 0.0
    assert Dispatch.fit([]) == Dispatch()


@pytest.mark.parametrize("count", [2, 6])
def test_entering_a_graph_never_takes_less_than_nothing(count: int) -> None:
    """Kernels timed alone add up to more than the whole: a small graph must not be predicted to take no time."""
    large = [GraphTime(str(i), 20 + i, 17.0, 17.0 - 0.08 * (20 + i) - 0.3, 0.0) for i in range(count)]
    fitted = Dispatch.fit(large)
    assert fitted.per_graph == 0
    assert -0.12 < fitted.per_kernel < -0.08
