import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from splitkit.bundle import MANIFEST, Bundle, Searched, load_bundle
from splitkit.bundle.export import export_bundle
from splitkit.errors import BundleError, VerificationError
from tests.bundle.bundles import exported, fast_system
from tests.networks import digit_images, space_of, subnetwork, with_link


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A bundle that may be damaged."""
    directory = tmp_path / "bundle"
    shutil.copytree(exported(2, "uint8", 1, "tvm").path, directory)
    return directory


def test_bundle_holds_what_it_says() -> None:
    bundle = exported(2, "uint8", 1, "tvm")
    m, link = bundle.manifest, bundle.link
    assert m.views == 1
    assert isinstance(m.origin, Searched)
    assert m.links == (link,)
    assert link.dtype == "uint8"
    assert link.scale > 0
    assert link.payload_bytes == int(np.prod(link.shape))
    assert m.sensor is not None
    assert m.aggregator is not None
    assert m.sensor.arena_bytes > 0
    assert m.aggregator.receive_buffer_bytes == link.payload_bytes
    assert {record.reference for record in m.verification} == {"torch"}
    assert [record.runtime.split()[0] for record in m.verification] == ["onnxruntime", "tvm"]
    assert all(record.frames == 64 and record.top1_agreement >= 0.995 for record in m.verification)
    names = {path.relative_to(bundle.path).as_posix() for path in bundle.path.rglob("*") if path.is_file()}
    assert names == {*m.files, MANIFEST}
    assert {"sensor.onnx", "aggregator.onnx", "README.md", "sample.npz", "sensor/artifact.json"} <= names


def test_compiled_halves_compute_the_sample() -> None:
    bundle = exported(2, "uint8", 1, "tvm")
    sensor, aggregator = bundle.open("sensor"), bundle.open("aggregator")
    assert sensor is not None
    assert aggregator is not None
    images, scores = bundle.sample()
    for frame, expected in zip(images[:4], scores[:4], strict=True):
        computed = aggregator(np.concatenate([sensor(view[None]) for view in frame]))
        assert computed.argmax() == expected.argmax()
        np.testing.assert_allclose(computed[0], expected, atol=0.02 * np.abs(scores).max())


@pytest.mark.parametrize("split", [0, -1])
def test_degenerate_side_is_absent_and_said_so(split: int) -> None:
    bundle = exported(split, "float32")
    absent = "sensor" if split == 0 else "aggregator"
    assert bundle.open(absent) is None  # type: ignore[arg-type]
    assert not (bundle.path / f"{absent}.onnx").exists()
    assert f"there is no `{absent}.onnx`" in (bundle.path / "README.md").read_text()
    assert bundle.link.dtype == ("uint8" if split == 0 else "float32")
    assert bundle.link.payload_bytes == (1024 if split == 0 else 40)


def test_any_changed_byte_is_found_and_its_file_named(copy: Path) -> None:
    for file in sorted(path for path in copy.rglob("*") if path.is_file()):
        content = file.read_bytes()
        for position in (0, len(content) // 2, len(content) - 1):
            damaged = bytearray(content)
            damaged[position] ^= 0x20
            file.write_bytes(damaged)
            with pytest.raises(BundleError, match=re.escape(str(file))):
                load_bundle(copy)
        file.write_bytes(content)
    assert load_bundle(copy).id == exported(2, "uint8", 1, "tvm").id


def test_missing_file_is_named(copy: Path) -> None:
    (copy / "sensor.onnx").unlink()
    with pytest.raises(BundleError, match=r"sensor\.onnx: cannot be read"):
        load_bundle(copy)


def test_consistent_forgery_of_the_manifest_changes_the_id(copy: Path) -> None:
    body = json.loads((copy / MANIFEST).read_text())
    body["links"][0]["zero_point"] += 1
    (copy / MANIFEST).write_text(json.dumps(body, indent=1, sort_keys=True) + "\n")
    with pytest.raises(BundleError, match="id: does not match the content"):
        load_bundle(copy)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 99}, "schema_version: 99"),
        ({"schema_version": 2}, "schema_version: 2, this splitkit reads 3"),
        ({"schema_version": 1}, "schema_version: 1, this splitkit reads 3"),
        ({"surplus": 1}, "surplus"),
        ({"views": "many"}, "views"),
    ],
)
def test_manifest_field_is_named(copy: Path, change: dict[str, object], message: str) -> None:
    body = json.loads((copy / MANIFEST).read_text()) | change
    (copy / MANIFEST).write_text(json.dumps(body))
    with pytest.raises(BundleError, match=rf"manifest\.json: .*{message}"):
        load_bundle(copy)


def test_what_is_no_bundle_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no such directory"):
        load_bundle(tmp_path / "nowhere")
    with pytest.raises(BundleError, match=r"not a bundle: manifest\.json is missing"):
        load_bundle(tmp_path)


def test_foreign_directory_is_not_overwritten(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.tex").write_text("years of work")
    space = space_of()
    network = subnetwork(space, with_link(space, space.smallest(), 0, "float32"))
    with pytest.raises(BundleError, match="precious: exists and is not a bundle"):
        export_bundle(network, fast_system(), digit_images(), precious)
    assert (precious / "thesis.tex").read_text() == "years of work"


def test_older_bundle_is_replaced_whole(copy: Path) -> None:
    space = space_of()
    network = subnetwork(space, with_link(space, space.smallest(), 0, "float32"))
    bundle = export_bundle(network, fast_system(), digit_images(), copy)
    assert not (copy / "sensor.onnx").exists()
    assert load_bundle(copy) == bundle
    assert [path.name for path in copy.parent.iterdir()] == ["bundle"]


def test_unproven_halves_leave_nothing_behind(tmp_path: Path) -> None:
    space = space_of()
    network = subnetwork(space, with_link(space, space.smallest(), 0, "float32"))
    blank = np.zeros_like(digit_images())
    with pytest.raises(VerificationError, match="hardly depend on the image"):
        export_bundle(network, fast_system(), blank, tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("split", "dtype", "views", "exporter", "shared"),
    [(2, "uint8", 1, "tvm", False), (2, "float16", 2, "onnxruntime", True), (0, "float32", 1, "onnxruntime", False)],
)
def test_code_in_the_readme_runs(split: int, dtype: str, views: int, exporter: str, shared: bool) -> None:
    bundle = exported(split, dtype, views, exporter, shared)
    blocks = re.findall(r"```python\n(.*?)```", (bundle.path / "README.md").read_text(), re.DOTALL)
    assert len(blocks) == (4 if split else 2)
    for block in blocks:
        run = subprocess.run(
            [sys.executable, "-c", block], cwd=bundle.path, capture_output=True, text=True, check=False
        )
        assert run.returncode == 0, f"{block}\n{run.stderr}"
        assert run.stdout.strip()
    load_bundle(bundle.path)  # running it changed nothing


def test_loading_a_bundle_imports_neither_torch_nor_a_compiler() -> None:
    bundle: Bundle = exported(0, "float32")
    code = (
        "import sys; from splitkit.bundle import load_bundle; load_bundle(sys.argv[1]); "
        "print([name for name in ('torch', 'tvm', 'onnxruntime') if name in sys.modules])"
    )
    command = [sys.executable, "-c", code, str(bundle.path)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
