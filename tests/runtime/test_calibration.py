"""What the runtime adds is measured once for a system, and again when something changed."""

from pathlib import Path

import pytest

from splitkit.latency.hop import Hop
from splitkit.latency.rows import HopTime
from splitkit.latency.store import LutStore
from splitkit.profiles import load_device, load_system
from splitkit.runtime import calibration
from splitkit.runtime.calibration import calibrate, current_conditions


def test_the_programs_that_play_a_system_are_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "SIZES", (16, 32))
    system = load_system("demo")
    with LutStore(tmp_path / "lut.db") as store:
        conditions = calibrate(store, system, 1)
        assert conditions == current_conditions(system, 1)
        found = store.last_hop(conditions.sensor, conditions.aggregator, 1, conditions.link)
        assert found is not None
        assert [time.payload_bytes for time in found[1]] == [256, 1024]
        assert all(time.link_us > 0 for time in found[1])
        assert not Hop.of(store, system, 1).unmeasured


def test_it_is_measured_again_only_where_something_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[tuple[int, int]] = []

    def measure(system: object, views: int, size: int) -> HopTime:
        measured.append((views, size))
        return HopTime(size * size, 5.0, 0.1)

    monkeypatch.setattr(calibration, "measure_hop", measure)
    system = load_system("demo")
    with LutStore(tmp_path / "lut.db") as store:
        calibrate(store, system, 1)
        assert len(measured) == len(calibration.SIZES)
        calibrate(store, system, 1)
        assert len(measured) == len(calibration.SIZES)
        calibrate(store, system, 2)
        assert len(measured) == 2 * len(calibration.SIZES)
        threads = system.model_copy(update={"aggregator": load_device("host-2t")})  # other programs play it
        calibrate(store, threads, 1)
        assert len(measured) == 3 * len(calibration.SIZES)


def test_systems_that_do_not_run_here_have_nothing_to_measure() -> None:
    for name in ("hmd", "m7-host"):
        assert calibrate(LutStore(":memory:"), load_system(name), 1) is None
