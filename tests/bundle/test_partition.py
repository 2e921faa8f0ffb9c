"""A plain ONNX model, cut in two, becomes a bundle as a searched network does, and goes through the same doors."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from splitkit.bundle import MANIFEST, Bundle, Partitioned, load_bundle
from splitkit.bundle.partition import export_partition, reference_of_onnx
from splitkit.bundle.recompile import recompile
from splitkit.bundle.signing import new_signing_key
from splitkit.errors import BundleError, ModelError, VerificationError
from splitkit.graphs.edges import Edges
from splitkit.graphs.model import load_model, sha256_of_model
from splitkit.graphs.subject import OneView
from splitkit.runtime.aggregator import run_aggregator
from splitkit.runtime.measure import measure_bundle
from splitkit.runtime.sensor import run_sensor
from tests.bundle.bundles import fast_system, partitioned, reseal
from tests.bundle.plain_models import image_twice, inputs_of, plain, residual


def whole(model: onnx.ModelProto, inputs: NDArray[Any], *outputs: str) -> list[NDArray[Any]]:
    """What ONNX Runtime makes of every frame, straight from the model."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    frames = [session.run(list(outputs) or None, {"pixels": frame}) for frame in inputs]
    return [np.stack(arrays) for arrays in zip(*frames, strict=True)]


def origin_of(*cut: str) -> Partitioned:
    return Partitioned(model="model.onnx", sha256="0" * 64, cut=cut)


def export(model: onnx.ModelProto, *cut: str, directory: Path, **more: Any) -> Bundle:
    return export_partition(model, origin_of(*cut), fast_system(exporter="tvm"), inputs_of(model), directory, **more)


def test_a_plain_model_becomes_a_bundle_whose_halves_equal_it() -> None:
    bundle = load_bundle(partitioned(plain(), "active").path)
    m = bundle.manifest
    content = (bundle.path.parent / "model.onnx").read_bytes()
    assert m.origin == Partitioned(model="model.onnx", sha256=hashlib.sha256(content).hexdigest(), cut=("active",))
    assert (m.image.name, m.image.shape, m.image.dtype) == ("pixels", (1, 3, 16, 16), "float32")
    assert (bundle.link.name, bundle.link.shape, bundle.link.payload_bytes) == ("active", (1, 8, 8, 8), 2048)
    assert (m.scores.name, m.scores.shape, m.views) == ("logits", (1, 10), 1)
    assert m.sensor is not None
    assert m.aggregator is not None
    assert m.sensor.macs == 8 * 3 * 9 * 64
    assert m.aggregator.receive_buffer_bytes == 2048
    assert [(v.runtime.split()[0], v.reference) for v in m.verification] == [
        ("onnxruntime", "onnxruntime"), ("tvm", "onnxruntime"),
    ]  # fmt: skip
    sensor, aggregator = bundle.open("sensor"), bundle.open("aggregator")
    assert sensor is not None
    assert aggregator is not None
    inputs = inputs_of(plain())
    (expected,) = whole(plain(), inputs)
    computed = np.stack([aggregator(sensor(frame)) for frame in inputs])
    np.testing.assert_allclose(computed, expected, atol=1e-4 * np.abs(expected).max(), rtol=0)
    images, scores = bundle.sample()
    np.testing.assert_array_equal(images, inputs[:16])
    np.testing.assert_allclose(scores, expected[:16, 0], atol=1e-5 * np.abs(expected).max(), rtol=0)


@pytest.mark.parametrize("exporter", ["tvm", "onnxruntime"])
def test_the_programs_run_it_over_the_wire(exporter: str) -> None:
    found = measure_bundle(partitioned(plain(), "active", exporter=exporter), 8)
    assert found.runtime.startswith("native" if exporter == "tvm" else "python")
    assert found.top1_agreement == 1
    assert found.scores_error < 1e-4


@pytest.mark.parametrize(("tensor", "absent"), [("pixels", "sensor"), ("logits", "aggregator")])
def test_one_side_may_do_everything(tensor: str, absent: str) -> None:
    bundle = partitioned(plain(), tensor)
    assert bundle.open(absent) is None  # type: ignore[arg-type]
    half = bundle.open("sensor" if absent == "aggregator" else "aggregator")
    assert half is not None
    inputs = inputs_of(plain())
    (expected,) = whole(plain(), inputs)
    computed = np.stack([half(frame) for frame in inputs])
    np.testing.assert_allclose(computed, expected, atol=1e-4 * np.abs(expected).max(), rtol=0)
    assert bundle.link.name == tensor
    assert f"there is no `{absent}.onnx`" in (bundle.path / "README.md").read_text()


@pytest.mark.parametrize(
    ("model", "crossing"), [(residual(), ["inner", "first"]), (image_twice(), ["inner", "pixels"])],
    ids=["around the cut", "the image itself"],
)  # fmt: skip
def test_several_tensors_may_cross(model: onnx.ModelProto, crossing: list[str]) -> None:
    bundle = partitioned(model, "inner")
    assert [link.name for link in bundle.manifest.links] == crossing
    sensor, aggregator = bundle.session("sensor"), bundle.session("aggregator")
    assert sensor is not None
    assert aggregator is not None
    inputs = inputs_of(model)
    (expected,) = whole(model, inputs)
    for frame, scores in zip(inputs, expected, strict=True):
        sent = {"pixels": frame} | sensor.run({"pixels": frame})
        computed = aggregator.run({name: sent[name] for name in crossing})["logits"]
        np.testing.assert_allclose(computed, scores, atol=1e-4 * np.abs(expected).max(), rtol=0)


def test_what_carries_one_tensor_refuses_several_in_one_line() -> None:
    bundle = partitioned(residual(), "inner")
    assert json.loads((bundle.path / MANIFEST).read_text())["link"] is None
    uses: list[Callable[[], object]] = [
        lambda: bundle.link,
        lambda: bundle.open("sensor"),
        lambda: measure_bundle(bundle, 1),
        lambda: run_aggregator(bundle, ("127.0.0.1", 0), 1),
        lambda: run_sensor(bundle, bundle.sample()[0][:, 0], 0, ("127.0.0.1", 1)),
    ]
    for use in uses:
        with pytest.raises(BundleError, match=r"2 tensors cross its cut \('inner', 'first'\), a view can send one"):
            use()


@pytest.mark.parametrize(
    ("model", "cut", "blocks"),
    [(plain(), "active", 4), (plain(), "pixels", 2), (residual(), "inner", 4), (image_twice(), "inner", 4)],
)
def test_code_in_the_readme_runs(model: onnx.ModelProto, cut: str, blocks: int) -> None:
    bundle = partitioned(model, cut)
    text = (bundle.path / "README.md").read_text()
    assert text.startswith(f"# Model `model.onnx`, cut at `{cut}`, split for system")
    found = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(found) == blocks
    for block in found:
        run = subprocess.run(
            [sys.executable, "-c", block], cwd=bundle.path, capture_output=True, text=True, check=False
        )
        assert run.returncode == 0, f"{block}\n{run.stderr}"
        assert run.stdout.strip()


def test_two_exports_are_one_bundle(tmp_path: Path) -> None:
    first = export(plain(), "active", directory=tmp_path / "a", predicted={"total_us": 1.0})
    second = export(plain(), "active", directory=tmp_path / "b", predicted={"total_us": 2.0})
    assert first.id == second.id
    assert first.manifest.files == second.manifest.files
    assert export(plain(), "first", directory=tmp_path / "c").id != first.id


def test_it_is_signed_recompiled_and_replaced_like_any_other(tmp_path: Path) -> None:
    private, public = new_signing_key(tmp_path / "keys")
    export(plain(), "active", directory=tmp_path / "bundle", sign_key=private, classes=[f"c{i}" for i in range(10)])
    bundle = load_bundle(tmp_path / "bundle", public)
    assert bundle.manifest.class_name(3) == "c3"
    made = recompile(bundle, {"aggregator": "onnxruntime"}, tmp_path / "made")
    (kept,) = made.manifest.verification
    assert (kept.runtime, kept.reference) == ("onnxruntime", "onnxruntime")
    image = inputs_of(plain())[0]
    results = [b.open("aggregator")(b.open("sensor")(image)) for b in (bundle, made)]  # type: ignore[misc]
    np.testing.assert_allclose(*results, atol=1e-4)
    again = export(residual(), "inner", directory=tmp_path / "bundle")
    assert len(again.manifest.links) == 2
    several = recompile(again, {"sensor": "onnxruntime", "aggregator": "onnxruntime"}, tmp_path / "several")
    assert several.manifest.links == again.manifest.links


def test_the_reference_is_the_uncut_model() -> None:
    model = residual()
    inputs = inputs_of(model, 5)
    reference = reference_of_onnx(OneView(model, Edges.of(model)), ["inner", "first", "pixels"], inputs)
    shown = onnx.shape_inference.infer_shapes(model)
    model.graph.output.extend(value for value in shown.graph.value_info if value.name in ("inner", "first"))
    logits, inner, first = whole(model, inputs, "logits", "inner", "first")
    for found, expected in zip(reference.links, (inner, first, inputs), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(reference.scores, logits[:, 0], atol=1e-5)
    assert reference.runtime == "onnxruntime"


def test_a_model_that_tells_nothing_of_its_input_is_not_exported(tmp_path: Path) -> None:
    model = plain()
    with pytest.raises(VerificationError, match="hardly depend on the image"):
        export_partition(
            model, origin_of("active"), fast_system(), np.zeros_like(inputs_of(model)), tmp_path / "bundle"
        )  # fmt: skip
    assert list(tmp_path.iterdir()) == []


def _changed(change: Callable[[onnx.GraphProto], object]) -> onnx.ModelProto:
    model = plain()
    change(model.graph)
    return model


def _batch(graph: onnx.GraphProto, extent: int) -> None:
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = extent


def _value(name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, 8))


def _open(graph: onnx.GraphProto) -> None:
    graph.input[0].type.tensor_type.shape.dim[2].Clear()


def _classes(graph: onnx.GraphProto) -> None:
    graph.node.append(helper.make_node("ArgMax", ["logits"], ["class"], axis=1))
    graph.output[0].CopyFrom(helper.make_tensor_value_info("class", TensorProto.INT64, (1, 1)))


def _indices(graph: onnx.GraphProto) -> None:
    graph.node.insert(1, helper.make_node("Cast", ["first"], ["whole"], to=TensorProto.INT64))
    graph.node.insert(2, helper.make_node("Cast", ["whole"], ["rounded"], to=TensorProto.FLOAT))
    graph.node[3].input[0] = "rounded"


@pytest.mark.parametrize(
    ("model", "cut", "message"),
    [
        (plain(), "nowhere", "no tensor is called 'nowhere'"),
        (plain(), "w0", "'w0' is constant"),
        (_changed(lambda g: g.output.append(_value("flat"))), "active", "2 outputs"),
        (_changed(lambda g: g.input.append(_value("other"))), "active", "2 inputs"),
        (_changed(lambda g: _batch(g, 4)), "active", r"input 'pixels' has shape \[4, 3, 16, 16\]"),
        (_changed(_open), "active", "'pixels' has no static shape"),
        (_changed(_classes), "active", "'class' is int64"),
        (_changed(_indices), "whole", r"'whole' is int64 \(it must be uint8 or float16 or float32\)"),
    ],
)  # fmt: skip
def test_models_of_another_kind_are_refused_in_one_line(
    tmp_path: Path, model: onnx.ModelProto, cut: str, message: str
) -> None:
    with pytest.raises(ModelError, match=message) as error:
        export_partition(model, origin_of(cut), fast_system(), inputs_of(plain()), tmp_path / "bundle")
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "inputs", [np.zeros((4, 3, 16, 16), np.float32), np.zeros((4, 1, 3, 16, 16)), np.zeros((4, 1, 3, 8, 8), np.float32)]
)
def test_inputs_of_another_kind_are_refused(tmp_path: Path, inputs: NDArray[Any]) -> None:
    with pytest.raises(ModelError, match=r"the model takes float32 \[frames, 1, 3, 16, 16\]"):
        export_partition(plain(), origin_of("active"), fast_system(), inputs, tmp_path / "bundle")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(views=2), "aggregator: inputs"),
        (lambda m: m["origin"].update(cut=["first"]), "origin.cut: 'first' is not among the links"),
        (lambda m: m["origin"].update(cut=[]), "origin"),
        (lambda m: m["origin"].update(sha256="x"), "origin"),
        (lambda m: m["origin"].update(kind="found"), "origin"),
        (lambda m: m["image"].update(shape=[1, 3, 1 << 20, 1 << 20]), "image: .*bytes are too many"),
        (lambda m: m["image"].update(shape=[1, 3, 99, 99]), "sensor: inputs, outputs"),
        (lambda m: m["image"].update(shape=[2, 3, 16, 16]), "image: shape: the first extent must be 1"),
        (lambda m: m["scores"].update(shape=[1, 10**8]), "aggregator: inputs, outputs"),
        (lambda m: m["links"][0].update(payload_bytes=1), "payload_bytes: 'active' has 2048"),
        (lambda m: m["links"].reverse() or m.update(links=m["links"] * 2), "links, sensor: outputs"),
        (lambda m: m["sensor"]["outputs"][0].update(dtype="float16"), "links, sensor: outputs"),
        (lambda m: m["aggregator"].update(inputs=[]), "aggregator: inputs, outputs"),
        (lambda m: m.update(sensor=None), "links"),
        (lambda m: m.update(aggregator=None), "aggregator: there is none"),
        (lambda m: m.update(sensor=None, aggregator=None), "links"),
        (lambda m: m["verification"][0].update(reference="hearsay"), "verification.0.reference"),
    ],
)
def test_a_forged_manifest_is_refused(tmp_path: Path, change: Callable[[dict[str, Any]], Any], message: str) -> None:
    copy = Path(shutil.copytree(partitioned(plain(), "active").path, tmp_path / "bundle"))
    reseal(copy, change)
    with pytest.raises(BundleError, match=message) as error:
        load_bundle(copy)
    assert "\n" not in str(error.value)


def test_a_compressed_sample_is_not_unpacked(tmp_path: Path) -> None:
    """Its shape is what the manifest says, and that only the manifest says."""
    copy = Path(shutil.copytree(partitioned(plain(), "active").path, tmp_path / "bundle"))
    with zipfile.ZipFile(copy / "sample.npz") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(copy / "sample.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    reseal(copy)
    with pytest.raises(BundleError, match=r"sample\.npz: not a sample: .*compressed"):
        load_bundle(copy).sample()


def test_names_of_tensors_are_shown_and_not_run(tmp_path: Path) -> None:
    """Who made the model chose them."""
    name = 'a`"})\nraise SystemExit(7)\n```|'
    model = plain()
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = [name if tensor == "active" else tensor for tensor in names]
    model.graph.input[0].name = model.graph.node[0].input[0] = "pixels\"'\\"
    bundle = export(model, name, directory=tmp_path / "bundle")
    text = (bundle.path / "README.md").read_text()
    assert load_bundle(bundle.path).link.name == name
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 4
    for block in blocks:
        subprocess.run([sys.executable, "-c", block], cwd=bundle.path, capture_output=True, check=True)


def test_the_digest_is_of_the_file_and_of_weights_beside_it(tmp_path: Path) -> None:
    onnx.save(plain(), str(tmp_path / "one.onnx"))
    assert sha256_of_model(tmp_path / "one.onnx") == hashlib.sha256((tmp_path / "one.onnx").read_bytes()).hexdigest()
    onnx.save(plain(), str(tmp_path / "two.onnx"), save_as_external_data=True, location="w.bin", size_threshold=0)
    parts = (tmp_path / "two.onnx").read_bytes() + (tmp_path / "w.bin").read_bytes()
    origin = Partitioned.of(tmp_path / "two.onnx", "active")
    assert origin.sha256 == hashlib.sha256(parts).hexdigest()
    model = load_model(tmp_path / "two.onnx")
    bundle = export_partition(model, origin, fast_system(exporter="tvm"), inputs_of(model), tmp_path / "bundle")
    assert bundle.manifest.origin == origin
    with pytest.raises(ModelError, match="cannot be read"):
        Partitioned.of(tmp_path / "three.onnx", "active")
