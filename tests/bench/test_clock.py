"""Rows of a table, and what is compared with them, are stated at one clock, whatever the processor's is."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from splitkit.bench.anchor import ATTEMPTS, DISTURBED, Anchor
from splitkit.bench.clock import TableClock
from splitkit.bench.jobs import Bench, MeasureJob
from splitkit.bench.measure import compile_for, measure_architecture
from splitkit.devices import Timing, get_device
from splitkit.devices.host import HostDevice
from splitkit.exporters.protocol import Artifact
from splitkit.graphs.graph import RenderedGraph
from splitkit.latency.kernel_times import conditions_of
from splitkit.latency.store import LutStore
from splitkit.profiles import load_device, load_system
from splitkit.space import describe, load_space
from tests.latency.systems import host_system

SPACE = load_space("tiny")
ARCHITECTURE = SPACE.largest(3)


class SlowedClock:
    """Every kernel takes 2 us at full clock."""

    def __init__(self) -> None:
        self.slowdown = 1.0
        self.changes: Iterator[float] = iter(())

    def time_kernels(self, device: HostDevice, artifact: Artifact, repeats: int = 1) -> np.ndarray:
        us = 2.0 * self.slowdown * device.profile.time_scale
        return np.full((repeats, len(artifact.kernels)), us)

    def time_graph(self, device: HostDevice, artifact: Artifact, repeats: int = 1) -> Timing:
        self.slowdown = next(self.changes, self.slowdown)
        return Timing(self.time_kernels(device, artifact, repeats).sum(axis=1))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SlowedClock:
    slowed = SlowedClock()
    monkeypatch.setattr(HostDevice, "time_kernels", lambda device, *a, **k: slowed.time_kernels(device, *a, **k))
    monkeypatch.setattr(HostDevice, "time_graph", lambda device, *a, **k: slowed.time_graph(device, *a, **k))
    return slowed


def compiled(path: Path) -> Artifact:
    device = get_device(load_device("host"))
    return compile_for(device, "tvm", RenderedGraph(tuple(describe(SPACE, ARCHITECTURE).operators("aggregator"))), path)


def test_what_a_bench_measures_is_stated_at_the_anchors_first_clock(tmp_path: Path, clock: SlowedClock) -> None:
    artifact, bench = compiled(tmp_path / "graph"), Bench(load_device("host").unscaled())
    kernels = len(artifact.kernels)
    reference: float | None = None
    for slowdown in (1.0, 1.12, 0.95):
        clock.slowdown = slowdown
        measured = bench(MeasureJob("network", {"graph": artifact}, artifact, reference), lambda _: None)
        timed, drift = measured.graphs["graph"]
        assert drift == pytest.approx(slowdown)
        np.testing.assert_allclose(timed.kernel_times, 2.0)
        assert timed.total == pytest.approx(2.0 * kernels)
        assert measured.flagged == 0
        reference = reference or measured.anchor_times[artifact.kernels[0].key][0]


def test_a_clock_that_changes_meanwhile_makes_a_measurement_repeat(tmp_path: Path, clock: SlowedClock) -> None:
    artifact = compiled(tmp_path / "graph")
    anchor = Anchor(get_device(load_device("host").unscaled()), artifact, 2.0)
    clock.changes = iter([1.1, 1.1])
    device = anchor.device
    timing, drift = anchor.steady(lambda: device.time_graph(artifact, 1).undisturbed)
    assert timing / drift == pytest.approx(2.0 * len(artifact.kernels))
    assert anchor.flagged == 0

    clock.changes = iter([1.0, 1.1] * ATTEMPTS)
    anchor.steady(lambda: device.time_graph(artifact, 1))
    assert anchor.flagged == 1

    clock.changes, clock.slowdown = iter(()), 1 + 1.2 * DISTURBED
    anchor.steady(lambda: device.time_graph(artifact, 1))
    assert anchor.flagged == 2


def test_candidates_are_measured_at_the_clock_of_their_table(tmp_path: Path, clock: SlowedClock) -> None:
    system, device = host_system(), get_device(load_device("host").unscaled())
    with LutStore(tmp_path / "lut.db") as store:
        before = measure_architecture(SPACE, system, ARCHITECTURE, clock=TableClock(store, tmp_path / "none"))
        assert before.sensor is not None
        condition = store.condition(conditions_of(device, "tvm"))
        kernel = before.sensor.kernels[0]
        store.add_kernels("tvm", [kernel])
        store.add_anchor(store.start_session(condition), kernel.key, 2.0)
        clock.slowdown = 1.15
        now = measure_architecture(SPACE, system, ARCHITECTURE)
        stated = measure_architecture(SPACE, system, ARCHITECTURE, clock=TableClock(store, tmp_path / "anchors"))
    assert now.total_us - now.link_us == pytest.approx(1.15 * (before.total_us - before.link_us))
    assert stated.total_us == pytest.approx(before.total_us)
    assert stated.sensor is not None
    np.testing.assert_allclose(stated.sensor.kernel_us, before.sensor.kernel_us)


def test_what_has_no_clock_is_not_watched(tmp_path: Path) -> None:
    with LutStore(tmp_path / "lut.db") as store:
        clock = TableClock(store, tmp_path)
        for profile in (load_system("hmd").sensor, load_system("m7-host").sensor, load_device("host")):
            anchor = clock.anchor(profile)
            assert anchor.artifact is None
            assert anchor.steady(lambda: "answer") == ("answer", 1.0)
