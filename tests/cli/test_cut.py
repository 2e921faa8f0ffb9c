"""`splitkit cut` and `splitkit partition` as they are typed."""

import json
import re
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper

from splitkit.bundle import load_bundle
from splitkit.cli.main import main
from tests.bundle.plain_models import image_twice, inputs_of, plain, residual


def run(*arguments: str | Path) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    onnx.save(residual(), str(tmp_path / "model.onnx"))
    return tmp_path / "model.onnx"


def test_halves_are_written_and_what_crosses_is_named(model: Path, tmp_path: Path) -> None:
    before = model.read_bytes()
    code, out, text = run("cut", model, "--at", "inner", "-o", tmp_path / "halves", "--json")
    assert code == 0, text
    assert json.loads(out) == {
        "schema_version": 1, "tensors": ["inner", "first"], "passthrough": [], "results": [],
        "aggregator_inputs": [], "views": 1,
        "identical": True, "worst": 0.0, "silent": [], "costs": [],
    }  # fmt: skip
    assert "sent: first (crosses as well)" in text
    assert "halves equal the model bit for bit" in text
    assert model.read_bytes() == before
    frame = inputs_of(residual(), 1)[0]
    head, tail = (onnxruntime.InferenceSession(str(tmp_path / f"halves/{part}.onnx")) for part in ("head", "tail"))
    sent = dict(zip(("inner", "first"), head.run(["inner", "first"], {"pixels": frame}), strict=True))
    (expected,) = onnxruntime.InferenceSession(str(model)).run(["logits"], {"pixels": frame})
    np.testing.assert_allclose(tail.run(["logits"], sent)[0], expected, rtol=1e-5)


def test_only_halves_are_written_over(model: Path, tmp_path: Path) -> None:
    halves = tmp_path / "halves"
    assert run("cut", model, "--at", "inner", "-o", halves)[0] == 0
    assert run("cut", model, "--at", "first", "-o", halves)[0] == 0
    for theirs in (b"notes", model.read_bytes()):
        (halves / "tail.onnx").write_bytes(theirs)
        before = (halves / "head.onnx").read_bytes()
        code, _, text = run("cut", model, "--at", "inner", "-o", halves)
        assert code == 1
        assert "tail.onnx: is there already, and is no half of a cut" in text
        assert (halves / "tail.onnx").read_bytes() == theirs
        assert (halves / "head.onnx").read_bytes() == before


def test_an_operators_name_means_what_it_writes(tmp_path: Path) -> None:
    named = plain()
    for i, node in enumerate(named.graph.node):
        node.name = f"/op{i}"
    onnx.save(named, str(tmp_path / "named.onnx"))
    code, _, text = run("cut", tmp_path / "named.onnx", "--at", "/op1", "-o", tmp_path / "halves")
    assert code == 0, text
    assert "at active" in text
    assert "sent: active" in text


def test_open_extents_are_given(tmp_path: Path) -> None:
    dynamic = plain()
    for axis, name in ((0, "batch"), (2, "height")):
        dynamic.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = name
    dynamic.graph.output[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    path, halves = tmp_path / "open.onnx", tmp_path / "halves"
    onnx.save(dynamic, str(path))
    code, _, text = run("cut", path, "--at", "active", "-o", halves)
    assert code == 1
    assert "'pixels' has no static shape" in text
    assert not halves.exists()
    code, _, text = run("cut", path, "--at", "active", "-o", halves, "--input-shape", "pixels:1,3,16,16")
    assert code == 0, text
    (value,) = onnx.load(str(halves / "head.onnx")).graph.output
    assert [dim.dim_value for dim in value.type.tensor_type.shape.dim] == [1, 8, 8, 8]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--at", "activ"), "no tensor is called 'activ' in graph 'residual' (did you mean 'active'?)"),
        (("--at", "logits"), "leaves the tail empty"),
        (("--at", "w0"), "'w0' is constant"),
        (("--at", ","), "a cut needs at least one tensor"),
        (("--at", "inner", "--input-shape", "image:1,3,16,16"), "no input is called 'image'"),
        (("--at", "inner", "--input-shape", "pixels:1,3,16"), "has shape [1, 3, 16, 16], which [1, 3, 16]"),
        (("--at", "inner", "--input-shape", "pixels:1,3,8,8"), "has shape [1, 3, 16, 16], which [1, 3, 8, 8]"),
    ],
)
def test_a_cut_that_cannot_be_is_one_line(
    model: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    code, _, text = run("cut", model, *arguments, "-o", tmp_path / "halves")
    assert code == 1
    assert message in text
    assert len(text.strip().splitlines()) == 1
    assert not (tmp_path / "halves").exists()


def test_an_output_that_says_nothing_of_the_input_is_named(tmp_path: Path) -> None:
    dead = plain()
    for tensor in dead.graph.initializer:
        if tensor.name == "wf":
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.zeros((10, 8), np.float32), "wf"))
    onnx.save(dead, str(tmp_path / "dead.onnx"))
    code, _, text = run("cut", tmp_path / "dead.onnx", "--at", "active", "-o", tmp_path / "halves")
    assert code == 0
    assert "output logits does not depend on this input: of it that proves nothing" in text


def test_a_link_of_fewer_bits_is_calibrated_and_its_cost_said(model: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "frames.npz", pixels=inputs_of(residual(), 6))
    common = ("cut", model, "--at", "inner", "-o", tmp_path / "halves", "--link-dtype", "uint8")
    code, _, text = run(*common)
    assert code == 1
    assert "uint8 over the link takes the range of what crosses (give --calibration)" in text
    assert not (tmp_path / "halves").exists()
    code, out, text = run(*common, "--calibration", tmp_path / "frames.npz", "--json")
    assert code == 0, text
    assert "sent: inner_uint8\n" in text
    assert "sent: first_uint8 (crosses as well)" in text
    assert "halves equal the model with that at the cut bit for bit" in text
    body = json.loads(out)
    assert body["tensors"] == ["inner_uint8", "first_uint8"]
    [cost] = body["costs"]
    assert 0 < cost["off"]["logits"] < 0.05
    assert f"uint8 over the link: output logits is off by {cost['off']['logits']:.2%} (rms)" in text
    head = onnxruntime.InferenceSession(str(tmp_path / "halves/head.onnx"))
    assert {value.type for value in head.get_outputs()} == {"tensor(uint8)"}


def test_float16_over_the_link_needs_no_calibration(model: Path, tmp_path: Path) -> None:
    code, out, text = run("cut", model, "--at", "inner", "-o", tmp_path / "halves", "--link-dtype", "float16", "--json")
    assert code == 0, text
    assert 0 < json.loads(out)["costs"][0]["off"]["logits"] < 1e-3


def test_a_bottleneck_says_what_it_costs_by_ratio(model: Path, tmp_path: Path) -> None:
    frames = inputs_of(residual(), 24)
    session = onnxruntime.InferenceSession(str(model))
    labels = np.array([session.run(None, {"pixels": frame})[0].argmax() for frame in frames])
    np.savez(tmp_path / "frames.npz", pixels=frames, labels=labels)
    common = ("cut", model, "--at", "inner", "-o", tmp_path / "halves", "--inject-bottleneck", "0.5")
    code, _, text = run(*common)
    assert code == 1
    assert "a bottleneck is made from the features of real inputs (give --calibration)" in text
    code, out, text = run(*common, "--calibration", tmp_path / "frames.npz", "--json")
    assert code == 0, text
    body = json.loads(out)
    assert body["tensors"] == ["inner_reduce", "first_reduce"]
    assert [cost["ratio"] for cost in body["costs"]] == [0.25, 0.5, 1.0]
    off = [cost["off"]["logits"] for cost in body["costs"]]
    assert off == sorted(off, reverse=True)
    assert (body["costs"][2]["accuracy"], body["costs"][0]["whole_accuracy"]) == (1.0, 1.0)
    assert "0.5 of the channels over the link: output logits is off by" in text
    assert "the model on 100.0%" in text


def test_what_is_made_from_real_inputs_asks_for_them_first(model: Path) -> None:
    common = ("partition", model, "--system", "hmd")
    for arguments, message in (
        (("-o", "bundle", "--link-dtype", "uint8"), "the range of uint8 is read from real inputs (give --calibration"),
        (("-o", "bundle", "--inject-bottleneck", "0.5"), "a bottleneck is made from real inputs (give --calibration"),
        (("--inject-bottleneck", "0.5"), "--inject-bottleneck is for the bundle: give -o, too"),
    ):
        code, _, text = run(*common, *arguments)
        assert code == 2
        assert message in text
    code, out, text = run(*common, "--link-dtype", "uint8", "--json")
    assert code == 0, text
    assert json.loads(out)["link_dtype"] == "uint8"


def test_the_best_cut_is_written_and_drawn(model: Path) -> None:
    np.save("frames.npy", inputs_of(residual(), 64))
    code, out, text = run(
        "partition",
        model,
        "--system",
        "hmd",
        "--input-data",
        "frames.npy",
        "-o",
        "bundle",
        "--plot",
        "cuts.png",
        "--json",
    )
    assert code == 0, text
    assert "next: splitkit bench bundle" in text
    best = json.loads(out)["options"][0]
    manifest = load_bundle("bundle").manifest
    assert {link.name for link in manifest.links} == set(best["crossing"])
    assert Path("cuts.png").read_bytes().startswith(b"\x89PNG")


def narrow_waist() -> onnx.ModelProto:
    """A large input, few channels at `small`, much work behind it: worth a split where the sensor is slow."""
    random, shapes = np.random.default_rng(0), {"a": (8, 3, 4, 4), "b": (128, 8, 3, 3), "c": (128, 128, 3, 3)}
    weights = [
        numpy_helper.from_array((random.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32), name)
        for name, shape in shapes.items()
    ]
    nodes = [
        helper.make_node("Conv", ["pixels", "a"], ["small"], strides=[4, 4]),
        helper.make_node("Conv", ["small", "b"], ["wide"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["wide"], ["active"]),
        helper.make_node("Conv", ["active", "c"], ["wider"], pads=[1, 1, 1, 1]),
        helper.make_node("GlobalAveragePool", ["wider"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["logits"]),
    ]
    ends = [("pixels", (1, 3, 64, 64)), ("logits", (1, 128))]
    inputs, outputs = ([helper.make_tensor_value_info(n, TensorProto.FLOAT, s)] for n, s in ends)
    graph = helper.make_graph(nodes, "waist", inputs, outputs, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def test_a_bottleneck_and_a_narrow_link_are_in_the_bundle_as_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    onnx.save(narrow_waist(), "model.onnx")
    np.savez("frames.npz", pixels=np.random.default_rng(1).standard_normal((64, 1, 3, 64, 64)).astype(np.float32))
    common = ("partition", "model.onnx", "--system", "hmd", "--calibration", "frames.npz", "-o", "bundle")
    code, out, text = run(*common, "--inject-bottleneck", "0.5", "--link-dtype", "uint8", "--json")
    assert code == 0, text
    assert json.loads(out)["options"][0]["crossing"] == ["small"]
    [link] = load_bundle("bundle").manifest.links
    assert (link.name, link.shape, link.dtype) == ("small_reduce_uint8", (1, 4, 16, 16), "uint8")


def test_the_best_cut_is_a_table(model: Path, tmp_path: Path) -> None:
    code, out, text = run("partition", model, "--system", "hmd", "--json")
    assert code == 0, text
    body = json.loads(out)
    assert body["options"][0]["total_us"] == min(option["total_us"] for option in body["options"])
    assert {option["placement"] for option in body["options"]} == {"split", "sensor", "aggregator"}
    for column in ("sent", "bytes", "sensor us", "link us", "aggregator us", "total us", "sensor RAM"):
        assert column in text
    assert f"best of {body['listed']} cuts: model.onnx" in text
    assert "link: model" in text
    assert (tmp_path / "runs/lut.db").exists()


def test_a_sensor_that_can_hold_nothing_is_said(model: Path, tmp_path: Path) -> None:
    shown = CliRunner().invoke(main, ["profiles", "show", "hmd-sensor"]).stdout
    small, changed = re.subn(r"(?m)^memory_bytes = \d+", "memory_bytes = 100", shown)
    assert changed == 1
    (tmp_path / "small.toml").write_text(small)
    system = CliRunner().invoke(main, ["profiles", "show", "hmd"]).stdout
    (tmp_path / "system.toml").write_text(system.replace('"hmd-sensor"', '"small.toml"'))
    code, _, text = run("partition", model, "--system", tmp_path / "system.toml")
    assert code == 0, text
    assert "the sensor can hold none of these" in text
    code, _, text = run("partition", model, "--system", tmp_path / "system.toml", "-o", tmp_path / "bundle")
    assert code == 1
    assert "holds no cut of model.onnx" in text
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (lambda path: path.write_bytes(b"nothing"), (), "not an ONNX file, or a truncated one"),
        (lambda path: path.unlink(), (), "cannot be read: no file"),
        (
            lambda path: onnx.save(_two_outputs(), str(path)),
            ("-o", "bundle"),
            "the model has 2 outputs ('logits', 'flat'), a bundle has one (leave the others out, or write the halves",
        ),
        (lambda path: None, ("--aggregator-input", "pose"), "no input is called 'pose' (there are 'pixels')"),
        (lambda path: None, ("--aggregator-input", "pixels"), "no output depends on what the sensor captures"),
        (lambda path: None, ("--system", "nowhere"), "nowhere"),
        (lambda path: None, ("--input-data", "none.npz"), "none.npz: not an .npy or .npz file"),
    ],
)  # fmt: skip
def test_a_model_that_cannot_be_partitioned_is_one_line(
    model: Path, make: object, arguments: tuple[str, ...], message: str
) -> None:
    make(model)  # type: ignore[operator]
    code, _, text = run("partition", model, *arguments)
    assert code == (2 if "--system" in arguments else 1)  # a setting that is wrong, or a file that is
    assert message in text
    assert len(text.strip().splitlines()) == 1


def _two_outputs() -> onnx.ModelProto:
    found = image_twice()
    found.graph.output.append(helper.make_tensor_value_info("flat", TensorProto.FLOAT, (1, 8)))
    return found
