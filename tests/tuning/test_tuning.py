"""Tuned kernels compute the same, are other rows of the table, and are used where they were found."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from splitkit.devices import get_device
from splitkit.errors import ConfigError, DeviceError, ModelError
from splitkit.exporters import Artifact, CompileTarget
from splitkit.exporters.tvm import TvmExporter
from splitkit.graphs.graph import RenderedGraph
from splitkit.latency.lowering import Lowering
from splitkit.latency.store import LutStore
from splitkit.profiles import load_device, load_system
from splitkit.space import Sampler, describe, load_space
from splitkit.tuning import search as tuning
from splitkit.tuning.search import tune
from splitkit.tuning.tuned import TunedKernel, TuningConditions, add_tuning, read_tuning, tuned_system
from tests.compiler.graphs import mobile, random_inputs


def sensor_half() -> RenderedGraph:
    space = load_space("tiny")
    sampler = Sampler(space, np.random.default_rng(0))
    drawn = (describe(space, sampler.uniform()).operators("sensor") for _ in range(50))
    return RenderedGraph(tuple(next(operators for operators in drawn if operators)))


def test_tuned_kernels_compute_bit_for_bit_the_same(tmp_path: Path) -> None:
    """Every tile reduces in the same order; so each candidate of every family may be tried without a tolerance."""
    exporter, target, model = TvmExporter(), CompileTarget(), mobile()
    inputs = random_inputs(model, 0)
    kernels = {kernel.key: kernel for kernel in exporter.lower(model, target)}
    candidates = {key: found for key, kernel in kernels.items() if (found := exporter.variants(kernel, target))}
    assert {kernels[key].family for key in candidates} >= {"dense", "pointwise", "depthwise", "linear"}
    expected = exporter.load(exporter.compile(model, target, tmp_path / "rules")).run(inputs)
    for which in (0, -1):
        choice = {key: found[which] for key, found in candidates.items()}
        artifact = exporter.compile(model, target.tuned(choice), tmp_path / str(which))
        for name, value in exporter.load(Artifact.load(artifact.path)).run(inputs).items():
            assert np.array_equal(value, expected[name])


def test_tuned_kernel_is_another_row_under_the_same_conditions() -> None:
    exporter, target, model = TvmExporter(), CompileTarget(), mobile()
    kernels = exporter.lower(model, target)
    chosen = next(kernel for kernel in kernels if exporter.variants(kernel, target))
    tuned = target.tuned({chosen.key: exporter.variants(chosen, target)[0]})
    after = exporter.lower(model, tuned)
    assert tuned.key() == target.key()
    assert tuned.full_key() != target.full_key()
    for old, new in zip(kernels, after, strict=True):
        assert (old.key == new.key) == (old.key != chosen.key)
        assert replace(old, key="", label="", payload="") == replace(new, key="", label="", payload="")
    assert exporter.lower(model, tuned.untuned()) == kernels


def test_units_lowered_before_tuning_are_lowered_again(tmp_path: Path) -> None:
    space = load_space("tiny")
    network = describe(space, Sampler(space, np.random.default_rng(0)).uniform())
    units = [placed.unit for placed in (*network.sensor, *network.aggregator)]
    target = CompileTarget()
    with LutStore(tmp_path / "lut.db") as store:
        before = Lowering(store, "tvm", target).kernels(units)
        exporter = TvmExporter()
        choice = {k.key: v[0] for ks in before.values() for k in ks if (v := exporter.variants(k, target))}
        after = Lowering(store, "tvm", target.tuned(choice)).kernels(units)
        assert {k.key for ks in after.values() for k in ks}.isdisjoint(choice)
        assert Lowering(store, "tvm", target).kernels(units) == before


def test_unusable_parameters_are_one_clear_error(tmp_path: Path) -> None:
    exporter, target, model = TvmExporter(), CompileTarget(), mobile()
    key = exporter.lower(model, target)[0].key
    with pytest.raises(ModelError, match=rf"tuning\.{key}"):
        exporter.compile(model, target.tuned({key: "fast"}), tmp_path)


def test_search_finds_what_is_faster_and_the_system_then_uses_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the bar at "slower is fine too" every kernel has a winner, whatever the machine is doing meanwhile."""
    monkeypatch.setattr(tuning, "WORTH", 1e9)
    monkeypatch.setattr(tuning, "MOST_CANDIDATES", 2)
    monkeypatch.setattr(tuning, "TURNS", 1)
    monkeypatch.setattr(tuning, "CONFIRMING_TURNS", 1)
    monkeypatch.setattr(tuning._GraphSearch, "_whole_ratio", lambda *_: 0.5)
    path, half = tmp_path / "tuning.json", sensor_half()
    system = load_system("demo")
    report = tune([half] * 2, system.sensor, path, 300)
    rows = read_tuning(path)
    assert report.tried == report.improved == len(rows) > 0  # and the second graph has nothing left to try
    tuned = tuned_system(system, path)
    kernels = TvmExporter().lower(half.model(), get_device(tuned.sensor).target())
    assert {kernel.key for kernel in kernels}.isdisjoint(row.kernel for row in rows)
    conditions = [TuningConditions.of(get_device(s.sensor.unscaled()), "tvm") for s in (system, tuned)]
    assert conditions[0] == conditions[1]


def test_nothing_is_kept_that_is_not_faster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "WORTH", 0.0)
    monkeypatch.setattr(tuning, "MOST_CANDIDATES", 1)
    monkeypatch.setattr(tuning, "TURNS", 1)
    path, system = tmp_path / "tuning.json", load_system("demo")
    report = tune([sensor_half()], system.sensor, path, 300)
    assert report.tried > 0
    assert report.improved == 0
    assert all(row.parameters is None for row in read_tuning(path))
    assert tuned_system(system, path) == system


def test_rows_of_other_code_or_hardware_are_left_alone(tmp_path: Path) -> None:
    system, path = load_system("demo"), tmp_path / "tuning.json"
    here = TuningConditions.of(get_device(system.sensor.unscaled()), "tvm")
    row = TunedKernel(**here.__dict__, kernel="pointwise-0", label="", parameters=[1, 2], ratio=0.9)
    for other in ({"version": "older"}, {"fingerprint": "another CPU"}, {"target": "{}"}):
        add_tuning(path, [replace(row, **other)])
    assert tuned_system(system, path) == system
    add_tuning(path, [row])
    assert tuned_system(system, path).sensor.target["tuning"] == {"pointwise-0": [1, 2]}
    assert len(read_tuning(path)) == 4
    bundles = tmp_path / "of-a-run.json"
    add_tuning(bundles, [replace(row, kernel="linear-0")])
    both = tuned_system(tuned_system(system, path), bundles)
    assert both.sensor.target["tuning"] == {"pointwise-0": [1, 2], "linear-0": [1, 2]}


def test_malformed_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "tuning.json"
    path.write_text(json.dumps({"schema_version": 1, "kernels": [{"kernel": "x"}]}))
    with pytest.raises(ConfigError, match=r"tuning\.json"):
        read_tuning(path)


def test_modelled_device_cannot_be_tuned(tmp_path: Path) -> None:
    profile = load_device("hmd-sensor")
    assert profile.kind == "analytical"
    with pytest.raises(DeviceError, match="cannot be tuned"):
        tune([sensor_half()], profile, tmp_path / "tuning.json", 1)
