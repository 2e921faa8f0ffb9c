"""An exporter from another repository: a package of its own, found through its entry point, never named in splitkit."""

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from splitkit.bundle import load_bundle
from splitkit.bundle.export import export_bundle
from splitkit.bundle.recompile import recompile
from splitkit.errors import ConfigError
from splitkit.exporters import exporter_names, get_exporter
from splitkit.runtime.measure import measure_bundle
from tests.bundle.bundles import exported, fast_system
from tests.networks import digit_images, space_of, subnetwork, with_link

PYPROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "splitkit-plain"
version = "0.1"

[project.entry-points."splitkit.exporters"]
plain = "splitkit_plain:PlainExporter"

[tool.setuptools]
py-modules = ["splitkit_plain"]
"""

MODULE = '''
"""An edge runtime nobody would choose: ONNX's reference implementation, in numpy."""

import time

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

from splitkit.exporters import Artifact, MemoryPlan, TensorSpec


class PlainExporter:
    name = "plain"
    version = "plain-0.1"

    def compile(self, model, target, directory):
        directory.mkdir(parents=True, exist_ok=True)
        onnx.save(model, directory / "plain.onnx")
        constants = {t.name for t in model.graph.initializer}
        inputs = tuple(spec(v) for v in model.graph.input if v.name not in constants)
        outputs = tuple(spec(v) for v in model.graph.output)
        plan = MemoryPlan(0, 0, 0, 0)
        artifact = Artifact(directory, self.name, self.version, target, inputs, outputs, (), plan, {})
        artifact.save()
        return artifact

    def load(self, artifact):
        return PlainSession(artifact)


class PlainSession:
    def __init__(self, artifact):
        self.artifact = artifact
        self.evaluator = ReferenceEvaluator(str(artifact.path / "plain.onnx"))
        self.staged = {t.name: np.zeros(t.shape, t.dtype) for t in artifact.inputs}

    def run(self, inputs):
        self.staged = dict(inputs)
        values = self.evaluator.run(None, self.staged)
        return {t.name: np.asarray(v) for t, v in zip(self.artifact.outputs, values, strict=True)}

    def time_ns(self, repeats):
        times = np.empty(repeats, np.int64)
        for i in range(repeats):
            start = time.perf_counter_ns()
            self.evaluator.run(None, self.staged)
            times[i] = time.perf_counter_ns() - start
        return times


def spec(value):
    tensor = value.type.tensor_type
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    return TensorSpec(value.name, tuple(d.dim_value for d in tensor.shape.dim), str(dtype))
'''


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The package built and installed as its users would, beside everything else."""
    source, site = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    (source / "pyproject.toml").write_text(PYPROJECT)
    (source / "splitkit_plain.py").write_text(MODULE)
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(site), str(source)], check=True, capture_output=True)
    patch = pytest.MonkeyPatch()
    patch.syspath_prepend(str(site))
    patch.setenv("PYTHONPATH", str(site))
    importlib.invalidate_caches()
    yield
    patch.undo()


def test_without_the_package_it_is_not_there() -> None:
    with pytest.raises(ConfigError, match="no exporter is called 'plain'"):
        get_exporter("plain")


@pytest.mark.usefixtures("installed")
def test_it_is_found_and_exports_a_verified_bundle_that_runs(tmp_path: Path) -> None:
    assert "plain" in exporter_names()
    space = space_of("tiny")
    smallest = space.smallest()
    network = subnetwork(space, with_link(space, smallest, 2, "uint8"))
    system = fast_system().with_exporters({"aggregator": "plain"})
    bundle = export_bundle(network, system, digit_images(1), tmp_path / "bundle")
    assert bundle.manifest.aggregator is not None
    assert bundle.manifest.aggregator.exporter_version == "plain-0.1"
    runtimes = [record.runtime for record in bundle.manifest.verification]
    assert runtimes[1].endswith("plain plain-0.1")
    assert load_bundle(tmp_path / "bundle").id == bundle.id
    assert measure_bundle(bundle, 10).top1_agreement == 1.0


@pytest.mark.usefixtures("installed")
def test_a_bundle_is_compiled_anew_for_it(tmp_path: Path) -> None:
    given = exported(2, "uint8")
    bundle = recompile(given, {"sensor": "plain"}, tmp_path / "bundle")
    sensors = [b.open("sensor") for b in (given, bundle)]
    images, _ = given.sample()
    first, second = (sensor(images[0, 0][None]) for sensor in sensors if sensor is not None)
    assert np.abs(first.astype(int) - second.astype(int)).max() <= 1
    assert len(np.unique(first)) > 4, "an output that does not vary proves nothing"
    assert "total_us" not in bundle.manifest.predicted
    assert load_bundle(given.path).id == given.id, "the bundle itself is left as it was"
