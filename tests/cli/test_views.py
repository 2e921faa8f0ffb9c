"""`splitkit partition --views` as it is typed."""

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner

from splitkit.bundle import load_bundle
from splitkit.cli.main import main
from tests.partition.viewed import batched, posed, viewed


def run(*arguments: str | Path) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    onnx.save(viewed(), "viewed.onnx")
    return Path("viewed.onnx")


def test_the_best_cut_is_a_bundle_with_a_sensor_a_view(model: Path) -> None:
    rng = np.random.default_rng(0)
    np.savez("frames.npz", **{f"view{i}": rng.standard_normal((48, 1, 3, 16, 16)).astype("f4") for i in range(3)})
    common = ("partition", model, "--system", "hmd", "--views", "3", "--join", "seen1")
    code, out, text = run(*common, "--input-data", "frames.npz", "-o", "bundle", "--json")
    assert code == 0, text
    body = json.loads(out)
    assert (body["views"], body["join"]) == (3, ["seen0"])
    assert "3 views with a sensor each, bytes are of one; cut no later than seen0" in text
    assert "next: splitkit bench bundle" in text
    manifest = load_bundle("bundle").manifest
    assert manifest.views == 3
    assert [link.name for link in manifest.links] == body["options"][0]["crossing"]
    assert sum(link.payload_bytes for link in manifest.links) == body["options"][0]["payload_bytes"]
    sample = np.load("bundle/sample.npz")["images"]
    np.testing.assert_array_equal(sample[:, 1], np.load("frames.npz")["view1"][:16, 0])


def test_an_operators_name_joins_too(model: Path) -> None:
    named = viewed()
    for node in named.graph.node:
        node.name = f"/{node.output[0]}/{node.op_type}"
    onnx.save(named, str(model))
    code, out, text = run("partition", model, "--system", "hmd", "--views", "3", "--join", "/seen2/Relu", "--json")
    assert code == 0, text
    assert json.loads(out)["join"] == ["seen0"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--views", "3"), 2, "--views V and --join TENSOR go together"),
        (("--join", "seen0"), 2, "--views V and --join TENSOR go together"),
        (("--views", "3", "--join", "seen0", "--stages", "3"), 2, "--stages prints a table"),
        (
            ("--views", "3", "--join", "seen0", "--inject-bottleneck", "0.5", "--calibration", ".", "-o", "bundle"),
            2,
            "--inject-bottleneck is for one view",
        ),
        (("--views", "2", "--join", "seen0"), 1, "sensors capture 3 inputs ('view0', 'view1', 'view2'), --views"),
        (("--views", "3", "--join", "fused"), 1, "tensor 'fused' depends on 'view0', 'view1', 'view2'"),
        (("--views", "3", "--join", "seen0", "--calibration", "."), 1, "pictures are for models of one input"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(model: Path, arguments: tuple[str, ...], code: int, message: str) -> None:
    found, _, text = run("partition", model, *arguments)
    assert found == code
    assert message in text.strip().splitlines()[-1]
    assert code == 2 or len(text.strip().splitlines()) == 1


def test_a_bundle_has_no_input_of_the_aggregators(model: Path) -> None:
    onnx.save(posed(), str(model))
    common = ("partition", model, "--system", "hmd", "--views", "3", "--join", "seen0", "--aggregator-input", "pose")
    code, _, text = run(*common, "-o", "bundle")
    assert code == 1
    assert "the model has 2 inputs ('view0', 'pose'), a bundle has one" in text
    code, out, text = run(*common, "--json")
    assert code == 0, text
    [line] = [line for line in text.splitlines() if line.startswith("next: ")]
    code, written, text = run(*shlex.split(line)[2:], "--json")
    assert code == 0, text
    halves = json.loads(written)
    assert (halves["tensors"], halves["views"]) == (json.loads(out)["options"][0]["crossing"], 3)
    assert halves["identical"]
    assert "not sent: pose (the aggregator's own)" in text


@pytest.mark.parametrize(("make", "at"), [(viewed, "feature2"), (batched, "feature")])
def test_halves_are_of_one_view_and_of_all(make: Callable[[], onnx.ModelProto], at: str, model: Path) -> None:
    onnx.save(make(), str(model))
    code, out, text = run("cut", model, "--at", at, "--views", "3", "-o", "halves", "--json")
    assert code == 0, text
    body = json.loads(out)
    assert body["identical"]
    assert not body["silent"]
    assert f"sent, by each of 3 sensors: {body['tensors'][0]}" in text
    shapes = {
        part: [
            tuple(d.dim_value for d in v.type.tensor_type.shape.dim)
            for v in onnx.load(f"halves/{part}.onnx").graph.input
        ]
        for part in ("head", "tail")
    }
    assert shapes == {"head": [(1, 3, 16, 16)], "tail": [(3, 8, 8, 8)]}
    code, out, text = run("cut", model, "--at", at, "--views", "3", "-o", "halves", "--link-dtype", "float16", "--json")
    assert code == 0, text
    assert json.loads(out)["identical"]
    assert 0 < json.loads(out)["costs"][0]["off"]["logits"] < 1e-2
    code, _, text = run("cut", model, "--at", at, "--views", "3", "-o", "halves", "--inject-bottleneck", "0.5")
    assert code == 1
    assert "a bottleneck is for one view, there are 3" in text
