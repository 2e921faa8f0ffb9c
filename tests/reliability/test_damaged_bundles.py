"""Bundles damaged and forged: each is refused in one line or does the right thing, in little memory and time."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from splitkit.bundle import MANIFEST
from splitkit.bundle.signing import SIGNATURE, new_signing_key, read_private_key, sign
from tests.bundle.bundles import exported, partitioned
from tests.bundle.plain_models import plain

ROOT = Path(__file__).parents[2]
MOST_GROWTH_BYTES = 256 << 20


@pytest.mark.parametrize(
    "count", [60, pytest.param(700, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])], ids=["some", "all"]
)
def test_damaged_bundles(tmp_path: Path, count: int) -> None:
    private, public = new_signing_key(tmp_path / "keys")
    key = read_private_key(private)
    bundles = []
    sources = [exported(2, "uint8", 1, "tvm"), exported(2, "uint8", 1, "onnxruntime"), partitioned(plain(), "active")]
    for number, source in enumerate(sources):
        bundle = shutil.copytree(source.path, tmp_path / str(number))
        (bundle / SIGNATURE).write_bytes(sign(key, (bundle / MANIFEST).read_bytes()))
        bundles.append(str(bundle))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    command = [sys.executable, "-m", "tests.reliability.damaged_bundles", str(scratch), str(count), "1"]
    run = subprocess.run(
        [*command, str(public), *bundles], cwd=ROOT, capture_output=True, text=True, check=False, timeout=3500
    )
    assert run.returncode == 0, f"{run.returncode}\n{run.stderr[-3000:]}"
    found = json.loads(run.stdout.strip().splitlines()[-1])
    refused, accepted = found["refused"], found["accepted"]
    assert sum(refused.values()) + sum(accepted.values()) == count
    for kind in ("manifest_bytes", "manifest_values", "changed_file", "damaged_signature"):
        assert accepted.get(kind, 0) <= 0.1 * refused.get(kind, 0) + 1, f"{kind}: almost every change shows in a digest"
    assert found["grown_bytes"] < MOST_GROWTH_BYTES
