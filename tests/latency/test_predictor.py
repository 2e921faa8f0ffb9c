"""Predictions are the sums they claim to be."""

from pathlib import Path

import numpy as np
import pytest

from splitkit.devices import get_device
from splitkit.devices.analytical import AnalyticalDevice
from splitkit.errors import DeviceError
from splitkit.exporters.tvm import TvmExporter
from splitkit.graphs.render import render
from splitkit.latency.corrections import Corrections, SideCorrection
from splitkit.latency.kernel_times import conditions_of
from splitkit.latency.predictor import CHUNK, SystemPredictor
from splitkit.latency.rows import GraphTime, KernelTime
from splitkit.latency.store import LutStore
from splitkit.space import describe, load_space
from tests.latency.systems import analytical_system, drawn, host_system
from tests.space.strategies import with_views


@pytest.mark.parametrize("views", [1, 2])
def test_predictions_are_sums_over_the_whole_networks_kernels(tmp_path: Path, views: int) -> None:
    space, system = with_views(load_space("tiny"), views), analytical_system()
    predictor = SystemPredictor(space, system, LutStore(tmp_path / "lut.db"))
    architectures = [
        *drawn(space, 15),
        *drawn(space.restricted("sensor"), 3),
        *drawn(space.restricted("aggregator"), 3),
    ]
    prediction = predictor.predict(predictor.encoding.encode_all(architectures))
    for i, architecture in enumerate(architectures):
        network = describe(space, architecture)
        for side, us in (("sensor", prediction.sensor_us), ("aggregator", prediction.aggregator_us)):
            operators = network.operators(side)
            device = get_device(system.sensor if side == "sensor" else system.aggregator)
            assert isinstance(device, AnalyticalDevice)
            kernels = TvmExporter().lower(render(operators), device.target()) if operators else ()
            assert us[i] == pytest.approx(device.kernel_times(kernels).sum())
        assert prediction.payload_bytes[i] == network.payload_bytes
        assert prediction.sensor_peak_bytes[i] == network.peak_sensor_bytes_bound()
        assert prediction.sensor_macs[i] == network.macs("sensor")
        assert prediction.aggregator_macs[i] == network.macs("aggregator")
        assert prediction.link_us[i] == pytest.approx(system.link.latency_us(float(network.payload_bytes), views))
    total = prediction.sensor_us + prediction.link_us + prediction.aggregator_us
    np.testing.assert_allclose(prediction.total_us, total)
    np.testing.assert_array_equal(prediction.measured_fraction, 1.0)


def test_memory_bound_is_the_networks_own_on_mobile_sizes() -> None:
    space = load_space("mobile")
    with LutStore(":memory:") as store:
        predictor = SystemPredictor(space, analytical_system(), store)
        rows = predictor._table.rows(predictor.encoding.encode_all(architectures := drawn(space, 40)))
        predictor._units.fill(rows)
        peak = (predictor._units.peak_bytes[rows.ids] * (rows.sensor > 0)).max(axis=1)
    for architecture, bound in zip(architectures, peak, strict=True):
        if architecture.split:
            assert bound == describe(space, architecture).peak_sensor_bytes_bound()


def test_a_population_larger_than_a_chunk_is_predicted_in_order(tmp_path: Path) -> None:
    space = load_space("tiny")
    predictor = SystemPredictor(space, analytical_system(), LutStore(tmp_path / "lut.db"))
    genes = predictor.encoding.encode_all(drawn(space, 30))
    many = predictor.predict(np.tile(genes, (CHUNK // 30 + 2, 1)))
    assert len(many) == 30 * (CHUNK // 30 + 2)
    np.testing.assert_array_equal(many[-30:].total_us, predictor.predict(genes).total_us)
    assert len(predictor.predict(genes[:0])) == 0


def lut_of(predictor: SystemPredictor, store: LutStore, us: float, every: int = 1) -> int:
    """Rows for every n-th aggregator kernel of the space's largest network, all of the same time; returns how many."""
    operators = describe(predictor.space, predictor.space.largest()).operators("aggregator")
    device = get_device(predictor.system.aggregator.unscaled())
    kernels = TvmExporter().lower(render(operators), device.target())
    condition = store.condition(conditions_of(device, "tvm"))
    keys = sorted({kernel.key for kernel in kernels})[::every]
    with store.transaction():
        store.add_kernels("tvm", kernels)
        store.add_times(condition, store.start_session(condition), [KernelTime(key, us, 0.0, 1) for key in keys])
    return len(kernels)


def test_times_are_the_tables_scaled_on_the_emulated_side(tmp_path: Path) -> None:
    space, system, store = load_space("tiny"), host_system(), LutStore(tmp_path / "lut.db")
    kernels = lut_of(SystemPredictor(space, system, store), store, us=2.0)
    predictor = SystemPredictor(space, system, store, allow_missing=False)
    everywhere = predictor.predict(predictor.encoding.encode_all([space.largest(0), space.largest(99)]))
    np.testing.assert_allclose(everywhere.aggregator_us, [2.0 * kernels, 0.0])
    np.testing.assert_allclose(everywhere.sensor_us, [0.0, 3 * 2.0 * kernels])
    np.testing.assert_array_equal(everywhere.measured_fraction, 1.0)


def test_missing_kernels_are_estimated_counted_and_shown(tmp_path: Path) -> None:
    space, system, store = load_space("tiny"), host_system(), LutStore(tmp_path / "lut.db")
    kernels = lut_of(SystemPredictor(space, system, store), store, us=2.0, every=2)
    predictor = SystemPredictor(space, system, store)
    prediction = predictor.predict_one(space.largest())
    assert prediction.aggregator_us[0] == pytest.approx(2.0 * kernels, rel=0.1)
    assert 0.2 < prediction.measured_fraction[0] < 0.8
    known, met = predictor.coverage("aggregator")
    assert 0 < known < met
    with pytest.raises(DeviceError, match=r"device host: \d+ of \d+ kernels are not in .*lut\.db"):
        SystemPredictor(space, system, store, allow_missing=False).predict_one(space.largest())


def test_an_empty_table_is_one_clear_line(tmp_path: Path) -> None:
    space = load_space("tiny")
    with pytest.raises(DeviceError, match="splitkit bench --target sensor"):
        SystemPredictor(space, host_system(), LutStore(tmp_path / "lut.db")).predict_one(space.largest())


def test_dispatch_measured_on_whole_graphs_is_added_once_per_graph(tmp_path: Path) -> None:
    space, system, store = load_space("tiny"), host_system(), LutStore(tmp_path / "lut.db")
    kernels = lut_of(SystemPredictor(space, system, store), store, us=2.0)
    condition = store.condition(conditions_of(get_device(system.aggregator.unscaled()), "tvm"))
    for n in (10, 20, 30, 40):
        store.add_graph(condition, GraphTime(str(n), n, 2.0 * n, 2.0 * n + 5.0 + 0.1 * n, 0.0))
    predictor = SystemPredictor(space, system, store)
    prediction = predictor.predict(predictor.encoding.encode_all([space.largest(0), space.largest(99)]))
    assert prediction.aggregator_us[0] == pytest.approx(2.1 * kernels + 5.0)
    assert prediction.aggregator_us[1] == 0.0
    assert prediction.sensor_us[1] == pytest.approx(3 * (2.1 * kernels + 5.0))


def test_corrections_scale_kernels_and_the_side_and_leave_the_predictor_alone(tmp_path: Path) -> None:
    space, system = load_space("tiny"), analytical_system()
    predictor = SystemPredictor(space, system, LutStore(tmp_path / "lut.db"))
    plain = predictor.predict_one(space.largest())
    side = SideCorrection(families={"pointwise": float(np.log(2))}, residual=float(np.log(1.5)))
    corrected = predictor.with_corrections(Corrections(aggregator=side)).predict_one(space.largest())
    device = get_device(system.aggregator)
    kernels = TvmExporter().lower(render(describe(space, space.largest()).operators("aggregator")), device.target())
    us = predictor.kernel_us("aggregator", kernels)
    factor = np.where([kernel.family == "pointwise" for kernel in kernels], 2.0, 1.0)
    assert corrected.aggregator_us[0] == pytest.approx(1.5 * (us * factor).sum())
    assert predictor.predict_one(space.largest()).total_us[0] == plain.total_us[0]
