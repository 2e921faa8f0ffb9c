"""Damaged input files: 700 and more, none of which may end in a traceback, a hang, or run what it holds."""

import io
import json
import os
import pickle
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from splitkit.bundle import MANIFEST, load_bundle
from splitkit.errors import CheckpointError
from splitkit.exporters import Artifact
from splitkit.latency import LutStore, Measurement
from splitkit.profiles import load_device, load_link, load_system
from splitkit.project import Run
from splitkit.project.config import TEMPLATE, load_project
from splitkit.project.reporting import read_run
from splitkit.search import Journal, load_result
from splitkit.space import load_space
from splitkit.supernet import Supernet
from splitkit.supernet.storage import write_checkpoint
from splitkit.training import default_train_config, load_supernet
from splitkit.training.loop import FORMAT
from tests.bundle.bundles import exported
from tests.reliability.fuzzing import read_all
from tests.reliability.mutate import damaged, damaged_json
from tests.report.runs import finished

ROOT = Path(__file__).parents[2]


def packaged(package: str, name: str) -> bytes:
    return (resources.files(package) / name).read_bytes()


TOML: dict[str, tuple[bytes, Callable[[Path], Any]]] = {
    "space": (packaged("splitkit.space", "presets/mobile.toml"), lambda f: load_space(str(f))),
    "device": (packaged("splitkit.profiles", "devices/hmd-sensor.toml"), lambda f: load_device(str(f))),
    "link": (packaged("splitkit.profiles", "links/mipi-csi2.toml"), lambda f: load_link(str(f))),
    "system": (packaged("splitkit.profiles", "systems/hmd.toml"), lambda f: load_system(str(f))),
    "project": (
        TEMPLATE.format(space="tiny", system="demo", data="digits", run="first").encode(),
        lambda f: (p := load_project(f), p.load_space(), p.load_system()),
    ),
}


@pytest.mark.parametrize("kind", TOML)
def test_damaged_toml(tmp_path: Path, kind: str) -> None:
    content, read = TOML[kind]
    refused, accepted = read_all(tmp_path / f"{kind}.toml", damaged(content, 60, seed=1), read)
    assert refused + accepted == 60
    assert refused > 20, "damage that is never noticed tests nothing"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """A finished search and its directory."""
    project, _ = finished(tmp_path_factory.mktemp("run"), feedback_rounds=1)
    return project, Run.of(project).directory


@pytest.mark.parametrize("how", [damaged, damaged_json], ids=["bytes", "values"])
def test_damaged_search_result(tmp_path: Path, run: tuple[Any, Path], how: Callable[..., Any]) -> None:
    content = (run[1] / "pareto.json").read_bytes()
    refused, _ = read_all(tmp_path / "pareto.json", how(content, 60, seed=2), load_result)
    assert refused > 15


@pytest.mark.parametrize("name", ["pareto.json", "corrections.json"])
def test_report_of_damaged_files(run: tuple[Any, Path], name: str) -> None:
    project, directory = run
    content = (directory / name).read_bytes()
    try:
        refused, accepted = read_all(directory / name, damaged_json(content, 20, seed=3), lambda _: read_run(project))
    finally:
        (directory / name).write_bytes(content)
    assert refused + accepted == 20
    assert refused > 3


def test_damaged_journal(tmp_path: Path, run: tuple[Any, Path]) -> None:
    content = (run[1] / "search.jsonl").read_bytes()
    conditions = json.loads(content.split(b"\n", 1)[0])["conditions"]

    def read(file: Path) -> None:
        for body in Journal(file, conditions).measurements.values():
            Measurement.from_json(body)

    refused, _ = read_all(tmp_path / "search.jsonl", damaged(content, 60, seed=4), read)
    assert refused > 15


@pytest.mark.parametrize("how", [damaged, damaged_json], ids=["bytes", "values"])
@pytest.mark.parametrize("name", [MANIFEST, "sensor/artifact.json"])
def test_damaged_bundle(tmp_path: Path, name: str, how: Callable[..., Any]) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(exported(2, "uint8", 1, "tvm").path, bundle)
    content = (bundle / name).read_bytes()
    refused, accepted = read_all(bundle / name, how(content, 40, seed=5), lambda _: load_bundle(bundle))
    assert accepted <= 3, "almost every change shows in a hash"
    assert refused + accepted == 40


@pytest.mark.parametrize("how", [damaged, damaged_json], ids=["bytes", "values"])
def test_damaged_artifact(tmp_path: Path, how: Callable[..., Any]) -> None:
    content = (exported(2, "uint8", 1, "tvm").path / "sensor" / "artifact.json").read_bytes()
    refused, _ = read_all(tmp_path / "artifact.json", how(content, 40, seed=6), lambda f: Artifact.load(f.parent))
    assert refused > 5


def test_damaged_latency_table(tmp_path: Path, run: tuple[Any, Path]) -> None:
    content = (run[1] / "search-lut.db").read_bytes()

    def read(file: Path) -> None:
        for other in file.parent.glob("lut.db-*"):
            other.unlink()
        with LutStore(file) as store:
            for _, number in enumerate(store.all_conditions()):
                store.times(number[1])

    refused, accepted = read_all(tmp_path / "lut.db", damaged(content, 40, seed=7), read)
    assert refused + accepted == 40
    assert refused > 10


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained supernet's checkpoint."""
    space = load_space("tiny")
    file = tmp_path_factory.mktemp("checkpoint") / "supernet.pt"
    body = {
        "space": space.model_dump(mode="json"),
        "config": default_train_config(space).model_dump(mode="json"),
        "step": 0,
        "weights": Supernet(space).state_dict(),
    }
    write_checkpoint(file, FORMAT, body)
    return file


def test_damaged_checkpoint(tmp_path: Path, checkpoint: Path) -> None:
    content = checkpoint.read_bytes()
    refused, _ = read_all(tmp_path / "supernet.pt", damaged(content, 40, seed=8), lambda f: load_supernet(f))
    assert refused > 20


def test_damaged_pickle_inside_a_whole_checkpoint(tmp_path: Path, checkpoint: Path) -> None:
    """The archive's own checksums are right, so that the damage reaches the unpickler."""
    with zipfile.ZipFile(checkpoint) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    (pickled,) = (name for name in members if name.endswith("data.pkl"))

    def repacked(content: bytes) -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, member in members.items():
                archive.writestr(name, content if name == pickled else member)
        return buffer.getvalue()

    contents = [repacked(c) for c in damaged(members[pickled], 40, seed=9)]
    refused, _ = read_all(tmp_path / "supernet.pt", contents, lambda f: load_supernet(f))
    assert refused > 20


class Hostile:
    """Unpickled without care it makes a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("form", ["torch", "pickle"])
def test_a_hostile_checkpoint_runs_nothing(tmp_path: Path, form: str) -> None:
    file, marker = tmp_path / "supernet.pt", tmp_path / "executed"
    if form == "torch":
        torch.save({"kind": FORMAT, "weights": Hostile(marker)}, file)
    else:
        file.write_bytes(pickle.dumps(Hostile(marker)))
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        load_supernet(file)
    assert not marker.exists()
    pickle.loads(pickle.dumps(Hostile(marker)))
    assert marker.exists(), "the same content does run where it is trusted"


def test_a_hostile_sample_runs_nothing(tmp_path: Path) -> None:
    marker = tmp_path / "executed"
    bundle = tmp_path / "bundle"
    shutil.copytree(exported(2, "uint8", 1, "tvm").path, bundle)
    np.savez(bundle / "sample.npz", images=np.array([Hostile(marker)], dtype=object), scores=np.zeros(1))
    with pytest.raises(ValueError, match="allow_pickle=False"), np.load(bundle / "sample.npz") as arrays:
        _ = arrays["images"]
    assert not marker.exists()


ONNX_READER = """
import sys
from pathlib import Path
from splitkit.errors import SplitkitError
from splitkit.exporters import CompileTarget, get_exporter
from splitkit.graphs.model import load_model
from tests.reliability.fuzzing import read_all
from tests.reliability.mutate import damaged

source, scratch, seed = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])

def read(file):
    model = load_model(file)
    get_exporter("onnxruntime").compile(model, CompileTarget(), scratch / "ort")
    get_exporter("tvm").lower(model, CompileTarget())

print(*read_all(scratch / "model.onnx", damaged(source.read_bytes(), 60, seed), read))
"""


def test_damaged_onnx(tmp_path: Path) -> None:
    """In a process of its own: a crash in native code would take the tests with it."""
    source = exported(2, "uint8", 1, "tvm").path / "sensor.onnx"
    command = [sys.executable, "-c", ONNX_READER, str(source), str(tmp_path), "10"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stderr[-2000:]
    refused, accepted = map(int, result.stdout.split()[-2:])
    assert refused + accepted == 60
    assert refused > 10
