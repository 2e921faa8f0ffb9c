import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from splitkit.bundle import Bundle
from splitkit.errors import LinkError
from splitkit.runtime.measure import STAGES, measure_bundle
from tests.bundle.bundles import exported


@pytest.mark.parametrize(
    ("split", "dtype", "views", "exporter", "shared"),
    [(2, "uint8", 1, "tvm", False), (2, "float16", 2, "onnxruntime", True), (0, "float32", 1, "onnxruntime", False)],
)
def test_processes_compute_what_the_whole_network_does(
    split: int, dtype: str, views: int, exporter: str, shared: bool
) -> None:
    bundle = exported(split, dtype, views, exporter, shared)
    found = measure_bundle(bundle, frames=20)
    assert found.top1_agreement == 1
    assert found.scores_error < (2e-2 if dtype == "uint8" else 2e-3)
    for name in STAGES:
        assert getattr(found, name).shape == (20,)
    np.testing.assert_allclose(found.total_us, found.sensor_us + found.link_us + found.aggregator_us, rtol=1e-6)
    link = bundle.manifest.system.link
    # On a shared link the first view may have been sent while the last one was still computing.
    assert found.link_us.min() >= link.latency_us(float(bundle.manifest.link.payload_bytes)) - 1
    assert found.predicted == {"total_us": 1234.0}
    assert found.to_json()["total_us"] == found.medians()["total_us"]
    assert "emulated" in found.sensor_label if split else found.sensor_label == "nothing to compute"


def test_both_sides_refuse_another_bundle_in_one_line() -> None:
    ours, theirs = exported(0, "float32"), exported(2, "float16", 2, "onnxruntime", True)
    command = [sys.executable, "-m", "splitkit.runtime.aggregator", str(ours.path), "--listen", "127.0.0.1:0"]
    aggregator = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert aggregator.stdout is not None
    where = aggregator.stdout.readline().split()[-1]
    command = [sys.executable, "-m", "splitkit.runtime.sensor", str(theirs.path), "--connect", where]
    sensor = subprocess.run(command, capture_output=True, text=True, check=False)
    _, complaint = aggregator.communicate(timeout=30)
    for code, text in ((aggregator.returncode, complaint), (sensor.returncode, sensor.stderr)):
        assert code == 1
        assert len(text.strip().splitlines()) == 1
        assert ours.id[:32] in text
        assert theirs.id[:32] in text


def test_failure_of_a_process_is_reported_in_its_words(tmp_path: Path) -> None:
    bundle = exported(0, "float32")
    broken = tmp_path / "broken"
    shutil.copytree(bundle.path, broken)
    (broken / "sample.npz").write_bytes(b"nothing")
    with pytest.raises(LinkError, match=r"sample\.npz: SHA-256 is .* export the bundle again"):
        measure_bundle(Bundle(broken, bundle.manifest), frames=5)
