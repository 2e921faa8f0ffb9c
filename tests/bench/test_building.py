"""Building a table on this machine: real compilations, real timings, resumable."""

from pathlib import Path

import numpy as np
import pytest

from splitkit.bench.measure import measure_architecture
from splitkit.bench.networks import build_from_space
from splitkit.bench.progress import BuildProgress
from splitkit.bench.session import BenchSession
from splitkit.devices import get_device
from splitkit.exporters import Kernel
from splitkit.latency.corrections import Corrections
from splitkit.latency.kernel_times import network_conditions
from splitkit.latency.lowering import Lowering
from splitkit.latency.measurement import Measurement
from splitkit.latency.predictor import SystemPredictor
from splitkit.latency.store import LutStore
from splitkit.profiles import load_device
from splitkit.space import Sampler, describe, load_space
from tests.latency.systems import analytical_system, host_system

SPACE = load_space("tiny")


def some_kernels(store: LutStore, count: int) -> list[Kernel]:
    units = [placed.unit for placed in describe(SPACE, SPACE.largest()).aggregator]
    lowered = Lowering(store, "tvm", get_device(load_device("host")).target()).kernels(units)
    return list({kernel.key: kernel for kernels in lowered.values() for kernel in kernels}.values())[:count]


def test_networks_fill_the_table_and_predictions_hold_for_them(tmp_path: Path) -> None:
    store, system = LutStore(tmp_path / "lut.db"), host_system()
    progress: list[BuildProgress] = []
    report = build_from_space(store, SPACE, system, "aggregator", networks=1, progress=progress.append)
    assert report.measured > 10
    assert report.missing > 0
    assert 0 < progress[-1].known < progress[-1].wanted
    conditions = [store.condition(c) for c in network_conditions(get_device(system.aggregator.unscaled()), "tvm")]
    rows = [store.times(condition) for condition in conditions]

    again = build_from_space(store, SPACE, system, "sensor", networks=1, coverage=1.0, progress=progress.append)
    assert again.reused == report.measured  # the same hardware: one table, continued
    assert progress[0].known < progress[-1].known
    later = [store.times(condition) for condition in conditions]
    assert all(set(old) <= set(new) for old, new in zip(rows, later, strict=True))
    assert sum(map(len, rows)) < sum(map(len, later))
    assert sum(len(store.graphs(condition)) for condition in conditions) >= 2

    predictor = SystemPredictor(SPACE, system, store)
    architecture = SPACE.largest(4)
    found = Measurement.from_json(measure_architecture(SPACE, system, architecture, tmp_path / "work").to_json())
    assert found.architecture == architecture
    for side in ("sensor", "aggregator"):
        measured = found.side(side)
        assert measured is not None
        assert sum(measured.kernel_us) == pytest.approx(measured.graph_us, rel=0.3)
        assert sum(kernel.macs for kernel in measured.kernels) == describe(SPACE, architecture).macs(side)
    corrected = predictor.with_corrections(Corrections.fit(predictor, [found])).predict_one(architecture)
    assert corrected.total_us[0] == pytest.approx(found.total_us, rel=0.2)
    drawn = predictor.encoding.encode_all(Sampler(SPACE, np.random.default_rng(1)).uniform() for _ in range(50))
    assert 0 < predictor.predict(drawn).measured_fraction.mean() < 1


def test_a_modelled_device_is_measured_as_its_model_says(tmp_path: Path) -> None:
    system = analytical_system()
    store = LutStore(tmp_path / "lut.db")
    assert build_from_space(store, SPACE, system, "sensor").measured == 0
    architecture = SPACE.largest(4)
    found = measure_architecture(SPACE, system, architecture)
    prediction = SystemPredictor(SPACE, system, store).predict_one(architecture)
    assert found.total_us == pytest.approx(prediction.total_us[0])
    assert found.sensor is not None
    assert found.sensor.label == "analytical"


def test_a_drifting_anchor_makes_a_measurement_repeat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, device = LutStore(tmp_path / "lut.db"), get_device(load_device("host").unscaled())
    kernels = some_kernels(store, 1)
    session = BenchSession(store, device, "tvm", "rotation", tmp_path)
    session.watch(kernels)
    times = iter([14.0, 10.1, 10.0, 15.0, 11.1, 11.0, *[30.0] * 5])
    monkeypatch.setattr(device, "time_kernels", lambda *_: np.full((5, 1), next(times)))
    attempts: list[int] = []

    def measure() -> int:
        attempts.append(len(attempts))
        return attempts[-1]

    result, drift = session.steady(measure)
    assert result == 2  # the attempt between two equal anchors, at a lower clock than the first time
    assert drift == pytest.approx(1.105, abs=0.001)
    assert session.flagged == 0
    session.steady(measure)  # three times as slow is no clock
    assert session.flagged == 1
    anchors = store.anchors(session.condition)
    assert anchors is not None
    assert anchors[1][0] == 10.0  # the first time that the next confirmed
