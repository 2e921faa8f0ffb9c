"""Bundles made to do harm: consistent in themselves, so that no digest gives them away."""

import json
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from splitkit.bundle import MANIFEST, load_bundle
from splitkit.bundle.recompile import recompile
from splitkit.errors import BundleError, ModelError
from splitkit.exporters import Artifact
from tests.bundle.bundles import exported, reseal

Manifest = dict[str, Any]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A bundle that may be damaged."""
    directory = tmp_path / "bundle"
    shutil.copytree(exported(2, "uint8", 1, "tvm").path, directory)
    return directory


def refused(directory: Path, message: str) -> None:
    with pytest.raises(BundleError, match=message) as error:
        load_bundle(directory)
    assert "\n" not in str(error.value)


def test_resealing_alone_changes_nothing(copy: Path) -> None:
    reseal(copy)
    assert load_bundle(copy).id == exported(2, "uint8", 1, "tvm").id


@pytest.mark.parametrize("name", ["../precious", "/tmp/precious", "sensor/../..", "", ".", "sensor\\x", "aggregator"])
@pytest.mark.parametrize("field", ["artifact", "onnx"])
def test_a_half_is_where_it_belongs(copy: Path, field: str, name: str) -> None:
    reseal(copy, lambda m: m["sensor"].update({field: name}))
    refused(copy, r"manifest\.json: .*sensor: onnx, artifact: must be")


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/../../secret", "..\\secret", "a\0b", "C:\\secret", ""])
def test_a_listed_file_lies_inside_the_bundle(copy: Path, name: str) -> None:
    (copy.parent / "secret").write_bytes(b"")
    record = {"sha256": "0" * 64, "size_bytes": 0}
    reseal(copy, lambda m: m["files"].update({name: record}))
    refused(copy, "is no relative path of a file inside the bundle")


def test_recompiling_removes_nothing_outside_its_copy(copy: Path) -> None:
    bundle = load_bundle(copy)
    precious = copy.parent / "precious"
    precious.mkdir()
    (precious / "thesis.tex").write_text("years of work")
    (copy / "notes.txt").symlink_to(precious / "thesis.tex")
    (copy / "folder").symlink_to(precious)
    half = bundle.manifest.sensor
    assert half is not None
    for number, name in enumerate(("../precious", str(precious))):
        object.__setattr__(half, "artifact", name)  # as if reading had let it pass
        with pytest.raises(BundleError):
            recompile(bundle, {"sensor": "onnxruntime"}, copy.parent / f"made{number}")
        assert [path.name for path in precious.iterdir()] == ["thesis.tex"]
        assert (precious / "thesis.tex").read_text() == "years of work"
    made = recompile(load_bundle(copy), {"sensor": "onnxruntime"}, copy.parent / "copy")
    assert not (made.path / "notes.txt").exists()
    assert not (made.path / "folder").exists()
    assert not list((made.path / "sensor").glob("*.so"))
    assert load_bundle(copy).id == bundle.id
    with pytest.raises(BundleError, match="precious: exists and is not empty"):
        recompile(load_bundle(copy), {"sensor": "onnxruntime"}, precious)


def test_a_library_outside_the_bundle_is_not_loaded(copy: Path) -> None:
    (library,) = (copy / "sensor").glob("*.so")
    outside = copy.parent / "outside.so"
    shutil.copy(library, outside)
    artifact = copy / "sensor" / "artifact.json"
    for name in ("../../outside.so", str(outside), "nowhere.so", "", None, ["x"]):
        body = json.loads(artifact.read_text())
        body["report"]["library"] = name
        artifact.write_text(json.dumps(body, indent=1))
        reseal(copy)
        with pytest.raises(BundleError):
            load_bundle(copy).open("sensor")


@pytest.mark.parametrize("name", ["libc.so.6", "stdint.h", "deep/er/x"])
def test_nothing_unlisted_lies_beside_a_compiled_half(copy: Path, name: str) -> None:
    (copy / "notes.txt").write_text("of the user's own, and never used")
    load_bundle(copy)
    stray = copy / "sensor" / name
    stray.parent.mkdir(parents=True, exist_ok=True)
    stray.write_bytes(b"")
    refused(copy, f"'sensor/{name}' is not listed in manifest.json")


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", ["link", "named pipe", "directory"])
@pytest.mark.parametrize("name", ["sensor.onnx", "sensor/weights.bin", "sample.npz", MANIFEST])
def test_links_and_pipes_are_refused(copy: Path, name: str, kind: str) -> None:
    moved = copy.parent / "moved"
    (copy / name).rename(moved)
    if kind == "link":
        (copy / name).symlink_to(moved)
    elif kind == "named pipe":
        os.mkfifo(copy / name)
    else:
        (copy / name).mkdir()
    refused(copy, rf"{name}: is a {kind}, where a file should be")


def test_a_linked_directory_is_refused(copy: Path) -> None:
    (copy / "sensor").rename(copy.parent / "moved")
    (copy / "sensor").symlink_to(copy.parent / "moved")
    refused(copy, "sensor: is a link, where a directory should be")


@pytest.mark.parametrize("name", ["sample.npz", "sensor.onnx", "aggregator/artifact.json"])
def test_what_a_bundle_needs_must_be_listed(copy: Path, name: str) -> None:
    reseal(copy, lambda m: m["files"].pop(name))
    refused(copy, f"files: {name} is not listed")
    reseal(copy, lambda m: m.update(files={}))
    refused(copy, "files: none is listed")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(views=10**9), "views"),
        (lambda m: m.update(views=2), "views"),
        (lambda m: m["image"].update(shape=[1, 1, 1 << 30, 1 << 30]), "image: .*bytes are too many"),
        (lambda m: m["image"].update(shape=[1, 1, 1 << 15, 1 << 15]), "image: the architecture has"),
        (lambda m: m["links"][0].update(payload_bytes=1 << 31), "payload_bytes"),
        (lambda m: m["links"][0].update(dtype="float64"), "links.0.dtype"),
        (lambda m: m["links"][0].update(dtype="float32"), "links: the architecture has"),
        (lambda m: m.update(links=m["links"] * 2), "links: the architecture has one"),
        (lambda m: m.update(links=[]), "links"),
        (lambda m: m["link"].update(payload_bytes=7), "id: does not match the content"),
        (lambda m: m.pop("link"), "id: does not match the content"),
        (lambda m: m["scores"].update(shape=[1, 10**8]), "scores: the architecture has"),
        (lambda m: m["sensor"]["inputs"][0].update(shape=[10**9]), "sensor: inputs, outputs"),
        (lambda m: m["sensor"].update(inputs=m["sensor"]["inputs"] * 2), "sensor: inputs, outputs"),
        (lambda m: m["sensor"].update(outputs=[]), "sensor: inputs, outputs"),
        (lambda m: m["sensor"].update(outputs=m["sensor"]["outputs"] * 2), "links, sensor: outputs"),
        (lambda m: m["aggregator"]["inputs"][0].update(dtype="float32"), "aggregator: inputs, outputs"),
        (lambda m: m["sensor"].update(arena_bytes=10**30), "arena_bytes"),
        (lambda m: m.update(sensor=None), "sensor: the architecture has one"),
        (lambda m: m["origin"]["architecture"].update(split=10**9), "architecture"),
        (lambda m: m["origin"]["architecture"].update(phases=[]), "architecture"),
        (lambda m: m["origin"]["space"]["input"].update(views=17), "space.input.views"),
        (lambda m: m["origin"].update(kind="partitioned"), "origin"),
        (lambda m: m["origin"].pop("kind"), "origin"),
    ],
)
def test_sizes_are_those_of_the_architecture(copy: Path, change: Callable[[Manifest], None], message: str) -> None:
    reseal(copy, change)
    refused(copy, message)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "{" * 5, "NaN", '{"schema_version": NaN}', "1" * 10_000, '"\ud800"', "\xff", "null", ""]
)
def test_a_manifest_that_is_none_is_one_line(copy: Path, text: str) -> None:
    (copy / MANIFEST).write_bytes(text.encode("latin-1", errors="surrogatepass") if text == "\xff" else
                                  text.encode(errors="surrogatepass"))  # fmt: skip
    refused(copy, r"manifest\.json: ")


def test_a_manifest_without_end_is_not_read(copy: Path) -> None:
    with (copy / MANIFEST).open("wb") as file:
        file.truncate(1 << 40)
    refused(copy, r"manifest\.json: is larger than")


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a["inputs"][0].update(shape=[1, 1, 64, 64]),
        lambda a: a["inputs"][0].update(dtype="float32"),
        lambda a: a["inputs"][0].update(dtype="O"),
        lambda a: a["outputs"][0].update(shape=[1 << 40, 1 << 40]),
        lambda a: a["outputs"].clear(),
        lambda a: a["memory"].update(arena_bytes=1 << 50),
        lambda a: a["memory"].update(arena_bytes=0),
        lambda a: a["report"].update(arena_bytes=1 << 50),
        lambda a: a["target"].update(threads=10**9),
        lambda a: a["target"].update(threads=2),
        lambda a: a.update(exporter="onnxruntime"),
        lambda a: a.update(schema_version=2),
        lambda a: a.pop("kernels"),
        lambda a: a["kernels"].append(7),
    ],
)
def test_an_artifact_is_what_the_manifest_states(copy: Path, change: Callable[[dict[str, Any]], None]) -> None:
    file = copy / "sensor" / "artifact.json"
    body = json.loads(file.read_text())
    change(body)
    file.write_text(json.dumps(body, indent=1))
    reseal(copy)
    with pytest.raises(BundleError) as error:
        load_bundle(copy).open("sensor")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["a b", "x.c -o /tmp/x", "../x", 7, ""])
def test_a_name_that_becomes_c_is_an_identifier(tmp_path: Path, name: object) -> None:
    from splitkit.exporters.baremetal.names import network_name

    artifact = exported(2, "uint8", 1, "tvm").artifact("sensor")
    assert artifact is not None
    assert network_name(artifact) is None
    forged = Artifact(**{**artifact.__dict__, "report": {"name": name}})
    with pytest.raises(BundleError, match="is no C identifier"):
        network_name(forged)


class Hostile:
    """Unpickled without care it ends the process."""

    def __reduce__(self) -> tuple[Any, tuple[int]]:
        return os._exit, (3,)


def _bomb(file: Path) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("images.npy", "w") as member:
        np.lib.format.write_array_header_1_0(
            member, {"descr": "|u1", "fortran_order": False, "shape": (1 << 20, 1, 1, 32, 32)}
        )
        for _ in range(64):
            member.write(bytes(1 << 20))


SAMPLES: dict[str, Callable[[Path], Any]] = {
    "pickle": lambda f: np.savez(f, images=np.array([Hostile()], dtype=object), scores=np.zeros((1, 10), np.float32)),
    "bomb": _bomb,
    "shape": lambda f: np.savez(f, images=np.zeros((4, 1, 1, 9, 9), np.uint8), scores=np.zeros((4, 10), np.float32)),
    "dtype": lambda f: np.savez(f, images=np.zeros((4, 1, 1, 32, 32)), scores=np.zeros((4, 10), np.float32)),
    "frames": lambda f: np.savez(
        f, images=np.zeros((4, 1, 1, 32, 32), np.uint8), scores=np.zeros((3, 10), np.float32)
    ),
    "none": lambda f: np.savez(f, images=np.zeros((0, 1, 1, 32, 32), np.uint8), scores=np.zeros((0, 10), np.float32)),
    "missing": lambda f: np.savez(f, images=np.zeros((4, 1, 1, 32, 32), np.uint8)),
    "no zip": lambda f: f.write_bytes(b"PK\x03\x04" + bytes(99)),
}  # fmt: skip


@pytest.mark.parametrize("kind", SAMPLES)
def test_a_sample_holds_images_and_scores_and_nothing_else(copy: Path, kind: str) -> None:
    SAMPLES[kind](copy / "sample.npz")
    reseal(copy)
    with pytest.raises(BundleError, match=r"sample\.npz") as error:
        load_bundle(copy).sample()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("location", ["../secret.bin", "/etc/passwd", "secret.bin", "", "link.bin", "pipe.bin"])
@pytest.mark.parametrize("where", ["initializer", "subgraph"])
def test_weights_in_another_file_are_refused(copy: Path, location: str, where: str) -> None:
    for file in (copy / "secret.bin", copy.parent / "secret.bin"):
        file.write_bytes(bytes(4096))
    (copy / "link.bin").symlink_to(copy.parent / "secret.bin")
    os.mkfifo(copy / "pipe.bin")
    model = onnx.load(str(copy / "sensor.onnx"))
    tensor = model.graph.initializer[0]
    if where == "subgraph":
        branch = onnx.helper.make_graph([], "branch", [], [], [onnx.numpy_helper.from_array(np.zeros(4), "w")])
        model.graph.node[0].attribute.append(onnx.helper.make_attribute("branch", branch))
        tensor = model.graph.node[0].attribute[-1].g.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", location
    (copy / "sensor.onnx").write_bytes(model.SerializeToString())
    reseal(copy)
    with pytest.raises(ModelError, match="its data is in another file"):
        recompile(load_bundle(copy), {"sensor": "onnxruntime"}, copy.parent / "copy")


def test_loading_runs_nothing_of_a_bundle(copy: Path) -> None:
    """The other side of the promise: opening does run it, which is why origin matters."""
    bundle = load_bundle(copy)
    maps = Path("/proc/self/maps")
    assert str(copy) not in maps.read_text()
    bundle.open("sensor")
    assert str(copy) in maps.read_text()
