"""What the runtime adds to a frame is part of the prediction of every system that runs here, and of no other."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from splitkit.bench.measure import measure_architecture
from splitkit.latency.hop import Hop, Line, hop_between
from splitkit.latency.measurement import Measurement
from splitkit.latency.predictor import SystemPredictor
from splitkit.latency.rows import HopTime
from splitkit.latency.store import LutStore
from splitkit.profiles.schema import System
from splitkit.space import load_space
from tests.latency.systems import analytical_system, drawn, host_system
from tests.latency.test_predictor import lut_of

TIMES = [HopTime(1000, 12.0, 3.0), HopTime(5000, 20.0, 9.0)]
"""10 us and 2 ns per byte on the link, 3 us on the aggregator."""


def add_hop(store: LutStore, system: System, views: int = 1, runtime: str = "native 1") -> None:
    store.replace_hop(hop_between(system, views, runtime, "here"), TIMES)


def test_predictions_hold_the_runtimes_own_time(tmp_path: Path) -> None:
    space, system, store = load_space("tiny"), host_system(), LutStore(tmp_path / "lut.db")
    plain = SystemPredictor(space, system, store)
    lut_of(plain, store, 5.0)
    genes = plain.encoding.encode_all(drawn(space, 8))
    without = SystemPredictor(space, system, store).predict(genes)
    add_hop(store, system)
    predicted = SystemPredictor(space, system, store).predict(genes)
    np.testing.assert_allclose(predicted.link_us - without.link_us, 10 + 0.002 * predicted.payload_bytes)
    np.testing.assert_allclose(predicted.aggregator_us - without.aggregator_us, 3.0)
    np.testing.assert_allclose(predicted.sensor_us, without.sensor_us)
    np.testing.assert_allclose(
        predicted.total_us, predicted.sensor_us + predicted.link_us + predicted.aggregator_us
    )  # fmt: skip


def test_measured_candidates_hold_it_too_so_that_they_compare_with_predictions() -> None:
    space, system = load_space("tiny"), host_system()
    (architecture,) = drawn(space.restricted("split"), 1)
    hop = Hop(system.link, 1, Line(10.0, 0.002), 3.0)
    measured = measure_architecture(space, system, architecture, hop=hop)
    link_us = float(system.link.latency_us(float(measured.payload_bytes)))
    assert measured.link_us == pytest.approx(link_us + 10 + 0.002 * measured.payload_bytes)
    assert measured.aggregator is not None
    assert measured.aggregator_us == measured.aggregator.graph_us + 3.0
    assert Measurement.from_json(measured.to_json()) == measured
    of_before = {name: value for name, value in measured.to_json().items() if name != "runtime_us"}
    assert Measurement.from_json(of_before) == replace(measured, runtime_us=0.0)


def test_systems_that_do_not_run_here_keep_their_profiles_formula() -> None:
    store, system = LutStore(":memory:"), analytical_system()
    store.replace_hop(hop_between(system, 1, "native 1", "here"), TIMES)
    hop = Hop.of(store, system, 1)
    assert hop.link_us(1000.0) == system.link.latency_us(1000.0)
    assert hop.aggregator_us == 0
    assert hop.text() == "model"
    assert not hop.unmeasured


def test_what_was_not_measured_is_not_added_and_said() -> None:
    store, system = LutStore(":memory:"), host_system()
    add_hop(store, system, views=2)
    hop = Hop.of(store, system, 1)  # so many sensors were never measured
    assert hop.link_us(1000.0) == system.link.latency_us(1000.0)
    assert hop.unmeasured
    assert hop.text() == "model, runtime's own time not measured: splitkit bench --target aggregator"
    assert Hop.of(store, system, 2).text() == (
        "model + native runtime, measured: 10.0 us + 2.00 ns per byte, on the aggregator 3.0 us"
    )


def test_it_holds_for_every_time_scale_and_not_for_another_link() -> None:
    store, system = LutStore(":memory:"), host_system()
    add_hop(store, system)
    slower = system.model_copy(update={"sensor": system.sensor.model_copy(update={"time_scale": 90.0})})
    assert not Hop.of(store, slower, 1).unmeasured
    faster = system.model_copy(update={"link": system.link.model_copy(update={"bandwidth_bytes_per_s": 9e6})})
    assert Hop.of(store, faster, 1).unmeasured
    # Links so slow that microseconds do not count are measured as one.
    radio = system.model_copy(update={"link": system.link.model_copy(update={"bandwidth_bytes_per_s": 40.0})})
    assert not Hop.of(store, radio, 1).unmeasured


def test_the_runtime_measured_last_counts() -> None:
    store, system = LutStore(":memory:"), host_system()
    for runtime in ("native 1", "python 1", "native 2"):
        add_hop(store, system, runtime=runtime)
    assert "native" in Hop.of(store, system, 1).label
    add_hop(store, system, runtime="python 1")
    assert "python" in Hop.of(store, system, 1).label


def test_more_bytes_never_take_less() -> None:
    assert Line.fit([100, 1000], [8.0, 6.0]).us_per_byte == 0
    assert Line.fit([1000, 2000, 4000], [0.5, 1.5, 3.5]).us == 0
