"""The C++ runner built for this machine: the peer of the Python programs, and what plays a system where it can."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from splitkit.bundle import Bundle
from splitkit.bundle.export import export_bundle
from splitkit.devices import get_device
from splitkit.errors import BundleError
from splitkit.profiles import load_device, load_system
from splitkit.runtime import native
from splitkit.runtime.measure import _run_processes, measure_bundle
from splitkit.runtime.native import native_runner
from splitkit.runtime.programs import NativePrograms, Programs, PythonPrograms, implementation_of
from tests.bundle.bundles import exported, fast_system
from tests.networks import digit_images, space_of, subnetwork, with_link

FRAMES = 12


@dataclass(frozen=True)
class Mixed:
    """One kind's aggregator with the other's sensors."""

    one: Programs
    other: Programs
    label: str = "mixed"

    def aggregator(self, frames: int, records: Path, timeout_s: float) -> list[str]:
        return self.one.aggregator(frames, records, timeout_s)

    def sensor(self, view: int, where: str, shared_link: Path | None, timeout_s: float) -> list[str]:
        return self.other.sensor(view, where, shared_link, timeout_s)


def scores_of(bundle: Bundle, programs: Programs, scratch: Path) -> np.ndarray:
    records = _run_processes(bundle, programs, FRAMES, scratch, 60.0)
    for record in records:
        assert max(record["sent_ns"]) <= record["received_ns"] <= record["result_ns"]
        assert all(taken <= sent for taken, sent in zip(record["captured_ns"], record["sent_ns"], strict=True))
    assert [record["frame"] for record in records] == list(range(FRAMES))
    return np.array([record["scores"] for record in records], dtype=np.float32)


@pytest.mark.parametrize(("split", "dtype", "views", "shared"), [(2, "uint8", 1, False), (2, "float16", 2, True)])
def test_native_and_python_programs_are_each_others_peers(
    split: int, dtype: str, views: int, shared: bool, tmp_path: Path
) -> None:
    bundle = exported(split, dtype, views, "tvm", shared)
    python, runner = PythonPrograms(bundle, ""), NativePrograms(bundle, tmp_path)
    whole = scores_of(bundle, runner, tmp_path)
    for i, mixed in enumerate((Mixed(python, runner), Mixed(runner, python))):
        (tmp_path / str(i)).mkdir()
        np.testing.assert_array_equal(scores_of(bundle, mixed, tmp_path / str(i)), whole)


@pytest.mark.parametrize("split", [0, 2, -1])
def test_halves_compiled_for_this_machine_are_played_natively(split: int) -> None:
    bundle = exported(split, "float32", 1, "tvm")
    found = measure_bundle(bundle, FRAMES)
    assert found.runtime == "native"
    assert found.scores_error < 1e-4
    assert found.top1_agreement == 1
    assert found.link_us.min() >= found.link_profile_us - 1
    assert found.to_json()["runtime"] == "native"


def test_a_scaled_sensors_stage_is_scaled() -> None:
    bundle = exported(2, "uint8", 1, "tvm")
    artifact = bundle.artifact("sensor")
    assert artifact is not None
    bench = [str(native_runner()), "bench", "--half", str(artifact.path), "--repeats", "200"]
    once_us = min(json.loads(subprocess.run(bench, capture_output=True, check=True).stdout)["run_ns"]) / 1e3
    found = measure_bundle(bundle, FRAMES)
    scale = bundle.manifest.system.sensor.time_scale
    assert scale > 1
    assert found.sensor_us.min() >= 0.5 * scale * once_us  # no run is so much faster than the fastest of 200
    assert found.sensor_label == f"measured x{scale:g} (emulated slower core)"


def test_a_modelled_sensor_sends_what_it_would_when_it_would(tmp_path: Path) -> None:
    space, modelled = space_of("tiny"), load_device("hmd-sensor").model_copy(update={"exporter": "tvm"})
    system = fast_system(exporter="tvm").model_copy(update={"sensor": modelled})
    network = subnetwork(space, with_link(space, space.smallest(), 2, "uint8"))
    bundle = export_bundle(network, system, digit_images(1), tmp_path / "bundle")
    artifact = bundle.artifact("sensor")
    assert artifact is not None
    found = measure_bundle(bundle, FRAMES)
    assert found.runtime == "native"
    assert found.scores_error < 2e-2
    model_us = get_device(modelled).time_graph(artifact, 1).undisturbed
    assert found.sensor_us.min() >= model_us - 0.01
    # A frame that this machine was busy during is late, and says so.
    assert np.median(found.sensor_us) == pytest.approx(model_us, abs=0.01)


def test_other_devices_are_played_by_the_python_programs_which_is_said() -> None:
    demo = load_system("demo")
    threads = demo.model_copy(update={"aggregator": load_device("host-2t")})
    other = demo.with_exporters({"sensor": "onnxruntime"})
    assert implementation_of(demo).name == "native"
    assert implementation_of(threads).reason == "the aggregator has 2 threads"
    assert implementation_of(other).reason == "the sensor is run by host and onnxruntime"
    found = measure_bundle(exported(2, "float16", 1, "onnxruntime"), FRAMES)
    assert found.runtime == "python: the sensor is run by host and onnxruntime"


@pytest.fixture
def fresh_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache directory of its own, and nothing remembered of another one."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    native_runner.cache_clear()
    yield tmp_path
    native_runner.cache_clear()


def test_without_a_compiler_the_python_programs_remain_and_say_why(
    fresh_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(native.shutil, "which", lambda name: None)
    monkeypatch.setattr(native, "find_spec", lambda name: None)
    found = measure_bundle(exported(2, "uint8", 1, "tvm"), FRAMES)
    assert found.runtime == "python: no C++ compiler (install g++, or pip install ziglang)"
    assert found.top1_agreement == 1
    assert list(fresh_cache.rglob("runner*")) == []


@pytest.mark.slow
def test_the_runner_is_built_once_and_again_where_it_is_damaged(fresh_cache: Path) -> None:
    runner = native_runner()
    assert runner.is_relative_to(fresh_cache)
    assert list(runner.parent.iterdir()) == [runner]
    built = runner.read_bytes()
    native_runner.cache_clear()
    before = runner.stat().st_mtime_ns
    assert native_runner() == runner
    assert runner.stat().st_mtime_ns == before
    runner.write_bytes(built[: len(built) // 2])
    native_runner.cache_clear()
    assert native_runner() == runner
    assert runner.read_bytes() != built[: len(built) // 2]


@pytest.mark.slow
def test_where_the_cache_cannot_be_written_it_is_built_for_this_process(
    fresh_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (fresh_cache / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(fresh_cache / "file"))
    runner = native_runner()
    assert subprocess.run([runner, "--help"], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--half", "nowhere"], "nowhere: nowhere/artifact.json: cannot be opened"),
        (["--repeats", "many"], "--repeats: a number"),
    ],
)
def test_the_runner_says_in_one_line_what_it_cannot_run(arguments: list[str], message: str) -> None:
    done = subprocess.run([native_runner(), "bench", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode in (1, 2)
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("text", ["-1", "0", "", "1e9x", "99999999999999999999"])
@pytest.mark.parametrize(
    ("program", "name"), [("aggregator", "--frames"), ("aggregator", "--timeout"), ("sensor", "--timeout")]
)
def test_the_runner_refuses_counts_and_times_that_are_none(program: str, name: str, text: str) -> None:
    where = ["--connect", "127.0.0.1:9"] if program == "sensor" else []
    command = [native_runner(), program, "--manifest", "none", *where, name, text]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    (line,) = done.stderr.strip().splitlines()
    assert (done.returncode, done.stdout) == (2, "")
    assert line.startswith(f"error: {program}: {name}: a number from 1 to ")
    assert line.endswith(f"is needed, not '{text}'")


def test_no_library_is_loaded_from_outside_its_directory(tmp_path: Path) -> None:
    artifact = exported(2, "uint8", 1, "tvm").artifact("sensor")
    assert artifact is not None
    copy = tmp_path / "half"
    shutil.copytree(artifact.path, copy)
    body = json.loads((copy / "artifact.json").read_text())
    body["report"]["library"] = f"../../{body['report']['library']}"
    (copy / "artifact.json").write_text(json.dumps(body))
    done = subprocess.run([native_runner(), "bench", "--half", copy], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "is not a file of this directory" in done.stderr


def test_a_changed_half_is_not_run(tmp_path: Path) -> None:
    bundle = exported(2, "uint8", 1, "tvm")
    copy = tmp_path / "copy"
    shutil.copytree(bundle.path, copy)
    weights = copy / "sensor" / "weights.bin"
    weights.write_bytes(bytes(weights.stat().st_size))
    with pytest.raises(BundleError, match=r"weights\.bin"):
        measure_bundle(Bundle(copy, bundle.manifest), FRAMES)


def records_refused(records: Path) -> str:
    """The line that an aggregator ends with at once, before it has looked at anything else."""
    command = [native_runner(), "aggregator", "--manifest", "none", "--records", records]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    return line


def test_records_of_the_native_aggregator_replace_records_and_nothing_else(tmp_path: Path) -> None:
    precious, link = tmp_path / "thesis.tex", tmp_path / "link.json"
    precious.write_text("years of work")
    link.symlink_to(precious)
    os.mkfifo(tmp_path / "pipe")
    for path in (precious, link, tmp_path / "pipe", tmp_path):
        assert f"{path}: exists, and splitkit did not write it" in records_refused(path)
    assert precious.read_text() == "years of work"
    bundle = exported(2, "uint8", 1, "tvm")
    for content in ("", '[{"frame": 0}]', '[\n{"frame": 0}\n]\n'):
        (tmp_path / "records.json").write_text(content)
        assert scores_of(bundle, NativePrograms(bundle, tmp_path), tmp_path).shape[0] == FRAMES


def test_the_native_aggregator_finds_a_missing_directory_before_the_run(tmp_path: Path) -> None:
    for folder in (tmp_path / "none", tmp_path / "file"):
        (tmp_path / "file").touch()
        assert f"{folder}/: there is no such directory" in records_refused(folder / "records.json")
