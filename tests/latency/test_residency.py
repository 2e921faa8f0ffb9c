"""A kernel has a time for each state of the caches that the network it is in leaves them in."""

from pathlib import Path

import numpy as np
import pytest

from splitkit.bench.jobs import Measured
from splitkit.bench.recording import Recorder
from splitkit.compiler.kernel import Kernel
from splitkit.devices import get_device
from splitkit.devices.host import HostDevice
from splitkit.exporters.tvm import TvmExporter
from splitkit.graphs.render import render
from splitkit.latency.corrections import Corrections
from splitkit.latency.kernel_times import KernelTimes, conditions_of, network_conditions
from splitkit.latency.predictor import SystemPredictor
from splitkit.latency.residency import STATES, footprint_bytes, mode_of, state_of
from splitkit.latency.rows import KernelTime
from splitkit.latency.store import LutStore
from splitkit.profiles import load_device, load_system
from splitkit.space import describe, load_space
from tests.latency.systems import host_system, measurement, side_measurement, timing

CACHE = 1_000_000
KB = 1000
KERNELS = [Kernel(f"k{i}", "", "pointwise", i, 100, 100, (i + 1) * 20 * KB, "{}") for i in range(12)]


@pytest.fixture
def cached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HostDevice, "cache_bytes", CACHE)


def table(path: Path, **rows: dict[str, float]) -> LutStore:
    """A table of the host's, rows given by state of the cache."""
    store, device = LutStore(path), get_device(load_device("host").unscaled())
    store.add_kernels("tvm", KERNELS)
    for mode, values in rows.items():
        condition = store.condition(conditions_of(device, "tvm", mode))  # type: ignore[arg-type]
        times = [KernelTime(key, value, 0.0, 1) for key, value in values.items()]
        store.add_times(condition, store.start_session(condition), times)
    return store


def test_the_footprint_is_all_weights_and_the_largest_kernels_activations() -> None:
    assert footprint_bytes(KERNELS[:2]) == 60 * KB + 200
    assert footprint_bytes([]) == 0
    assert mode_of(KERNELS[:2], 60 * KB + 200) == "resident"
    assert mode_of(KERNELS[:2], 60 * KB + 199) == "in_situ"
    assert [mode_of([Kernel("k", "", "pointwise", 1, 0, 0, fill * CACHE, "{}")], CACHE) for fill in (3, 5, 15, 17)] == [
        "in_situ", "in_situ_8", "in_situ_8", "in_situ_32",
    ]  # fmt: skip


def test_between_states_networks_are_where_their_size_puts_them() -> None:
    fills = [0, 0.9, 1, 1.1, 2, 4, 8, 16, 32, 1e6]
    np.testing.assert_allclose(state_of(fills, 1), [0, 0, 0.5, 1, 1, 1.5, 2, 2.5, 3, 3])
    np.testing.assert_array_equal(state_of(fills, 0), 1)


def test_only_devices_with_caches_of_their_own_make_a_difference(cached: None) -> None:
    assert get_device(load_device("host")).cache_bytes == CACHE
    assert get_device(load_system("hmd").aggregator).cache_bytes == 0
    assert get_device(load_system("m7-host").sensor).cache_bytes == 0


def test_the_host_knows_its_cache() -> None:
    cache = get_device(load_device("host")).cache_bytes
    assert 64 * 1024 <= cache <= 64 * 1024 * 1024


def test_rows_of_the_other_state_are_converted_by_what_weights_cost_to_fetch(cached: None, tmp_path: Path) -> None:
    us_per_kb = 0.02
    streaming = {k.key: 50.0 + us_per_kb * k.weight_bytes / KB for k in KERNELS[:9]}
    resident = {k.key: 50.0 for k in KERNELS[:6]} | {KERNELS[11].key: 40.0}
    times = KernelTimes(table(tmp_path / "lut.db", in_situ=streaming, resident=resident), load_device("host"))
    assert times.rows == 10
    known = [*KERNELS[:9], KERNELS[11]]
    found = times(known)
    small, large, _, larger = found.us
    assert found.known.all()
    np.testing.assert_allclose(large, [*streaming.values(), 40.0 + us_per_kb * 240])
    np.testing.assert_allclose(small, [*[50.0] * 9, 40.0])
    np.testing.assert_array_equal(larger, large)

    estimated = times(KERNELS[9:11])
    assert not estimated.known.any()
    weights = np.array([k.weight_bytes for k in KERNELS[9:11]])
    np.testing.assert_allclose(estimated.us[1] - estimated.us[0], us_per_kb * weights / KB)


def test_what_fetching_costs_adds_up_from_state_to_state(cached: None, tmp_path: Path) -> None:
    per_kb = {"resident": 0.0, "in_situ": 0.02, "in_situ_8": 0.05}
    rows = {mode: {k.key: 50.0 + cost * k.weight_bytes / KB for k in KERNELS[:6]} for mode, cost in per_kb.items()}
    rows["resident"]["k9"] = rows["in_situ_8"]["k11"] = 70.0
    times = KernelTimes(table(tmp_path / "lut.db", **rows), load_device("host"))
    states = times([KERNELS[9], KERNELS[11]]).us
    np.testing.assert_allclose(states[:, 0], [70, 70 + 0.02 * 200, 70 + 0.05 * 200, 70 + 0.05 * 200])
    np.testing.assert_allclose(states[:, 1], [70 - 0.05 * 240, 70 - 0.03 * 240, 70, 70])


def test_without_both_states_there_is_no_difference(cached: None, tmp_path: Path) -> None:
    rows = {k.key: 10.0 + i for i, k in enumerate(KERNELS)}
    for name in ("in_situ", "resident"):
        times = KernelTimes(table(tmp_path / f"{name}.db", **{name: rows}), load_device("host"))
        us = times(KERNELS).us
        np.testing.assert_array_equal(us, np.tile(us[0], (len(STATES), 1)))


def test_a_network_is_predicted_in_the_state_it_is_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    space, system = load_space("tiny"), host_system()
    store, device = LutStore(tmp_path / "lut.db"), get_device(system.aggregator.unscaled())
    kernels = TvmExporter().lower(render(describe(space, space.largest(0)).operators("aggregator")), device.target())
    distinct = {kernel.key for kernel in kernels}
    store.add_kernels("tvm", kernels)
    for us, conditions in zip((2.0, 3.0, 5.0, 9.0), network_conditions(device, "tvm"), strict=True):
        condition = store.condition(conditions)
        store.add_times(condition, store.start_session(condition), [KernelTime(key, us, 0.0, 1) for key in distinct])

    def predicted(cache: float) -> tuple[float, np.ndarray]:
        monkeypatch.setattr(HostDevice, "cache_bytes", round(cache))
        predictor = SystemPredictor(space, system, store, allow_missing=False)
        prediction = predictor.predict_one(space.largest(0))
        assert prediction.measured_fraction[0] == 1.0
        return float(prediction.aggregator_us[0]), predictor.kernel_us("aggregator", kernels)

    size = footprint_bytes(kernels)
    for cache, us in ((2, 2.0), (1, 2.5), (1 / 2, 3.0), (1 / 4, 4.0), (1 / 16, 7.0), (1 / 64, 9.0), (0, 3.0)):
        total, each = predicted(cache * size)
        assert total == pytest.approx(us * len(kernels), rel=1e-4)
        np.testing.assert_allclose(each, us, rtol=1e-4)


def test_the_recorder_keeps_the_states_apart_and_takes_both_back(cached: None, tmp_path: Path) -> None:
    store, device = LutStore(tmp_path / "lut.db"), get_device(load_device("host").unscaled())
    recorder = Recorder(store, conditions_of(device, "tvm"), cache_bytes=CACHE)
    small, large = timing(KERNELS[:3], [1.0, 2.0, 3.0]), timing(KERNELS, [5.0] * len(KERNELS))
    recorder.add("network", Measured("host", {"small": (small, 1.0), "large": (large, 1.0)}, {}, 0))
    resident, in_situ, *_ = (store.condition(conditions) for conditions in network_conditions(device, "tvm"))
    assert store.values(resident) == {"k0": 1.0, "k1": 2.0, "k2": 3.0}
    assert store.values(in_situ) == {kernel.key: 5.0 for kernel in KERNELS}
    assert [graph.digest for graph in store.graphs(resident)] == ["small"]
    assert recorder.known() == store.values(in_situ)
    assert Recorder(store, conditions_of(device, "tvm"), cache_bytes=CACHE).reused == len(KERNELS)


def test_boards_are_compared_in_the_same_state(tmp_path: Path) -> None:
    store, device = LutStore(tmp_path / "lut.db"), get_device(load_device("host").unscaled())
    recorder = Recorder(store, conditions_of(device, "tvm"), tolerance=0.1, cache_bytes=CACHE)
    small, large = KERNELS[:6], KERNELS
    for board, factor in (("a", 1.0), ("b", 1.0), ("wrong", 1.5)):
        graphs = {
            f"{board} small": (timing(small, [factor * 10.0] * len(small)), 1.0),
            f"{board} large": (timing(large, [factor * 14.0] * len(large)), 1.0),
        }
        recorder.add(f"network {board}", Measured(board, graphs, {}, 0))
    reasons, networks = recorder.take_back(3)
    assert list(reasons) == ["wrong"]
    assert networks == ["network wrong"]
    resident, in_situ, *_ = (store.condition(conditions) for conditions in network_conditions(device, "tvm"))
    assert set(store.values(resident).values()) == {10.0}
    assert set(store.values(in_situ).values()) == {14.0}
    assert {graph.digest for graph in store.graphs(in_situ)} == {"a large", "b large"}


def test_a_small_network_as_predicted_teaches_no_correction(cached: None, tmp_path: Path) -> None:
    space, system = load_space("tiny"), host_system()
    architecture = space.largest(0)
    operators = describe(space, architecture).operators("aggregator")
    kernels = list(TvmExporter().lower(render(operators), get_device(system.aggregator).target()))
    store = LutStore(tmp_path / "lut.db")
    store.add_kernels("tvm", kernels)
    for us, conditions in zip(
        (2.0, 3.0), network_conditions(get_device(system.aggregator.unscaled()), "tvm"), strict=False
    ):
        condition = store.condition(conditions)
        rows = [KernelTime(kernel.key, us, 0.0, 1) for kernel in {k.key: k for k in kernels}.values()]
        store.add_times(condition, store.start_session(condition), rows)
    assert footprint_bytes(kernels) < 0.9 * CACHE
    found = measurement(architecture, side_measurement(kernels, [2.0] * len(kernels)))
    fitted = Corrections.fit(SystemPredictor(space, system, store), [found]).aggregator
    np.testing.assert_allclose(fitted.factors(kernels), 1.0)
    assert fitted.residual == pytest.approx(0.0)
