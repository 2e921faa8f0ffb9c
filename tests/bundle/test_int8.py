"""Bundles whose halves compute in integers."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from splitkit.bundle import load_bundle
from splitkit.bundle.export import export_bundle, reference_of
from splitkit.bundle.quantise import run_halves
from splitkit.bundle.verify import INT8_TOLERANCE
from splitkit.errors import VerificationError
from splitkit.graphs.export import export_half
from splitkit.graphs.int8.patterns import in_integers
from splitkit.graphs.model import load_model
from splitkit.graphs.reading import read_onnx
from splitkit.sides import SIDES, Side
from tests.bundle.bundles import exported, fast_system
from tests.networks import digit_images, space_of, subnetwork, with_link


@pytest.mark.parametrize(
    ("sides", "dtype"), [({"sensor", "aggregator"}, "uint8"), ({"sensor"}, "float32"), ({"aggregator"}, "uint8")]
)
def test_halves_in_integers_are_proved_and_run(sides: set[Side], dtype: str, tmp_path: Path) -> None:
    space = space_of("tiny")
    network = subnetwork(space, with_link(space, space.smallest(), 3, dtype))
    images = digit_images()
    bundle = export_bundle(network, fast_system(exporter="tvm"), images, tmp_path / "b", int8=sides)
    manifest = bundle.manifest
    for side in SIDES:
        half = bundle.half(side)
        assert half is not None
        assert half.precision == ("int8" if side in sides else "float32")
        kinds = {node.op for node in in_integers(read_onnx(load_model(bundle.path / half.onnx))).nodes}
        assert ("IntegerConv" in kinds) == (side in sides)
        assert ("Conv" in kinds) == (side not in sides)
    assert {record.reference for record in manifest.verification} == {"onnxruntime"}
    tvm = next(record for record in manifest.verification if record.runtime.startswith("tvm"))
    assert tvm.top1_agreement >= 0.995
    assert (tvm.aggregator_error or 0) <= INT8_TOLERANCE
    assert tvm.link_tolerance == (1 if dtype == "uint8" else INT8_TOLERANCE)
    assert tvm.link_error is None or tvm.link_error < 0.2 * tvm.link_tolerance
    floats = reference_of(network, images).scores
    frames, scores = bundle.sample()
    sample = floats[: len(frames)]
    assert np.abs(scores - sample).max() < 0.3 * np.abs(sample).max()
    assert np.mean(scores.argmax(1) == sample.argmax(1)) > 0.8
    assert "in int8" in (bundle.path / "README.md").read_text()


def test_the_link_is_the_sensors_last_activation(tmp_path: Path) -> None:
    space = space_of("tiny")
    network = subnetwork(space, with_link(space, space.smallest(), 3, "uint8"))
    bundle = export_bundle(network, fast_system(), digit_images(), tmp_path / "b", int8=SIDES)
    sensor, aggregator = (onnx.load(str(bundle.path / f"{side}.onnx")) for side in SIDES)
    (last,) = [node for node in sensor.graph.node if "link" in node.output]
    assert last.op_type == "QuantizeLinear"
    (first,) = [node for node in aggregator.graph.node if "link" in node.input]
    assert first.op_type == "DequantizeLinear"
    assert bundle.manifest.link is not None
    constants = {t.name: onnx.numpy_helper.to_array(t) for t in sensor.graph.initializer}
    assert constants["link.scale"] == np.float32(bundle.manifest.link.scale)
    assert constants["link.zero_point"] == bundle.manifest.link.zero_point


def test_figures_of_the_halves_overrule_what_was_predicted(tmp_path: Path) -> None:
    space = space_of("tiny")
    network = subnetwork(space, with_link(space, space.smallest(), 3, "uint8"))
    seen = []

    def measured(halves: dict[Side, onnx.ModelProto]) -> dict[str, float]:
        seen.append(run_halves(halves, digit_images()[:4], ())[1].shape)
        return {"test_accuracy": 0.5}

    bundle = export_bundle(
        network, fast_system(), digit_images(), tmp_path / "b", int8=SIDES, measured=measured,
        predicted={"test_accuracy": 0.9, "search_accuracy": 0.8},
    )  # fmt: skip
    assert seen == [(4, 10)]
    assert bundle.manifest.predicted == {"test_accuracy": 0.5, "search_accuracy": 0.8}


def test_a_manifest_says_nothing_of_float32() -> None:
    text = (exported(2, "uint8").path / "manifest.json").read_text()
    assert "precision" not in text  # so that bundles written before still read as they were written


def test_an_unknown_precision_is_refused(tmp_path: Path) -> None:
    from tests.bundle.bundles import reseal

    space = space_of("tiny")
    network = subnetwork(space, with_link(space, space.smallest(), 3, "uint8"))
    export_bundle(network, fast_system(), digit_images(), tmp_path / "b", int8=SIDES)

    def change(body: dict) -> None:  # type: ignore[type-arg]
        body["sensor"]["precision"] = "int4"

    reseal(tmp_path / "b", change)
    with pytest.raises(Exception, match=r"sensor\.precision"):
        load_bundle(tmp_path / "b")


def test_a_half_that_computes_something_else_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One weight of the compiled sensor's last layer is another: more than a step on the link."""
    from splitkit.bundle import build

    space = space_of("tiny")
    network = subnetwork(space, with_link(space, space.smallest(), 3, "uint8"))
    compile_ = build._compile

    def wrong(model: onnx.ModelProto, side: Side, *rest: object) -> object:
        if side == "sensor":
            for tensor in model.graph.initializer:
                if tensor.name.endswith("reduce.weight.steps"):
                    value = onnx.numpy_helper.to_array(tensor).copy()
                    value[0] = -value[0]
                    tensor.CopyFrom(onnx.numpy_helper.from_array(value, tensor.name))
                    break
            else:
                raise AssertionError("no layer before the link was found")
        return compile_(model, side, *rest)  # type: ignore[arg-type]

    halves = {side: export_half(network, side) for side in SIDES}
    assert all(half is not None for half in halves.values())
    original = build._verify_onnxruntime
    monkeypatch.setattr(build, "_verify_onnxruntime", lambda reference, models: original(reference, dict(models)))
    monkeypatch.setattr(build, "_compile", lambda m, s, *r: wrong(_copy(m), s, *r))
    with pytest.raises(VerificationError, match="sensor's output differs"):
        export_bundle(network, fast_system(exporter="tvm"), digit_images(), tmp_path / "b", int8=SIDES)


def _copy(model: onnx.ModelProto) -> onnx.ModelProto:
    other = onnx.ModelProto()
    other.CopyFrom(model)
    return other


def test_json_of_a_manifest_names_the_precision(tmp_path: Path) -> None:
    space = space_of("tiny")
    network = subnetwork(space, with_link(space, space.smallest(), 3, "uint8"))
    bundle = export_bundle(network, fast_system(), digit_images(), tmp_path / "b", int8={"sensor"})
    body = json.loads((bundle.path / "manifest.json").read_text())
    assert body["sensor"]["precision"] == "int8"
    assert "precision" not in body["aggregator"]


def test_frames_that_lack_views_are_proved_in_integers_too(tmp_path: Path) -> None:
    from types import SimpleNamespace

    import torch

    from splitkit.data import Samples
    from splitkit.project.steps.export import _integer_accuracy
    from splitkit.training.evaluation import score_subnetwork

    space = space_of("tiny", 2, masked=True)
    network = subnetwork(space, with_link(space, space.smallest(), 3, "uint8"))
    images = digit_images(2)
    samples = Samples(torch.from_numpy(images[:32]), torch.arange(32) % 10)
    floats, found = score_subnetwork(network, samples), {}

    def measured(halves: dict[Side, onnx.ModelProto]) -> dict[str, float]:
        found.update(_integer_accuracy(halves, SimpleNamespace(test=samples), floats, masked=True))  # type: ignore[arg-type]
        return found

    bundle = export_bundle(network, fast_system(exporter="tvm"), images, tmp_path / "b", int8=SIDES, measured=measured)
    assert bundle.manifest.masks
    assert found["float32_test_accuracy"] == floats.score.accuracy
    assert abs(found["int8_difference"]) < 0.2
