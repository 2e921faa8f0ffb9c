"""One network exported twice, in other places, at other times, by other processes, is one bundle."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from splitkit.bundle import Bundle, load_bundle

ROOT = Path(__file__).parents[2]

EXPORT = """
import sys
from pathlib import Path
from splitkit.bundle.export import export_bundle
from splitkit.profiles import load_system
from tests.bundle.bundles import fast_system
from tests.networks import digit_images, space_of, subnetwork, with_link

system, exporter, total_us = sys.argv[1], sys.argv[2], float(sys.argv[3])
space = space_of()
network = subnetwork(space, with_link(space, space.smallest(), 2, "uint8"))
profile = fast_system(exporter=exporter) if system == "demo" else load_system(system)
print(export_bundle(network, profile, digit_images(), Path("bundle"), predicted={"total_us": total_us}).id)
"""


def exported_in(directory: Path, system: str, exporter: str, total_us: float) -> Bundle:
    """Export in a process of its own, from that directory, with a clock and hash seeds of its own."""
    (directory / "tmp").mkdir(parents=True)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": str(len(str(directory)))}
    environment |= {"TMPDIR": str(directory / "tmp")}
    command = [sys.executable, "-c", EXPORT, system, exporter, str(total_us)]
    run = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    bundle = load_bundle(directory / "bundle")
    assert bundle.id == run.stdout.strip().splitlines()[-1]
    return bundle


@pytest.mark.parametrize(
    ("system", "exporter", "needed"),
    [
        ("demo", "tvm", ()),
        ("demo", "onnxruntime", ()),
        pytest.param(
            "m7-rpi4",
            "baremetal",
            ("arm-none-eabi-gcc", "qemu-system-arm", "aarch64-linux-gnu-g++"),
            marks=pytest.mark.toolchain,
        ),
    ],
)
def test_two_exports_of_one_network_are_one_bundle(
    tmp_path: Path, needs: object, system: str, exporter: str, needed: tuple[str, ...]
) -> None:
    needs(*needed)  # type: ignore[operator]
    first = exported_in(tmp_path / "a", system, exporter, 1.0)
    time.sleep(2.0 - time.time() % 1.0)  # what has the time in it, in seconds, differs now
    second = exported_in(tmp_path / "somewhere" / "else" / "b", system, exporter, 2.0)
    assert first.id == second.id
    different = {name for name in first.manifest.files if first.manifest.files[name] != second.manifest.files[name]}
    # ONNX Runtime writes the order of its hash tables into the file.
    assert different <= {"sensor/model.ort", "aggregator/model.ort"}, different
    bodies = [json.loads((bundle.path / "manifest.json").read_text()) for bundle in (first, second)]
    for body in bodies:
        assert body.pop("predicted") in ({"total_us": 1.0}, {"total_us": 2.0})
        assert body.pop("checksum")
        for name in different:
            del body["files"][name]
    assert bodies[0] == bodies[1]
