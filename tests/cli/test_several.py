"""`splitkit partition` and `splitkit cut` of models of several inputs and outputs, as they are typed."""

import json
import shlex
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from click.testing import CliRunner

from splitkit.cli.main import main
from tests.partition.several import stereo


def run(*arguments: str | Path) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    onnx.save(stereo(), "stereo.onnx")
    return Path("stereo.onnx")


def test_the_next_step_of_a_partition_writes_its_halves(model: Path) -> None:
    code, out, text = run("partition", model, "--system", "hmd", "--aggregator-input", "pose", "--json")
    assert code == 0, text
    body = json.loads(out)
    assert body["aggregator_inputs"] == ["pose"]
    best = body["options"][0]
    assert best["placement"] == "split"
    [line] = [line for line in text.splitlines() if line.startswith("next: ")]
    code, out, text = run(*shlex.split(line)[2:], "--json")
    assert code == 0, text
    halves = json.loads(out)
    assert [*halves["tensors"], *halves["results"], *halves["passthrough"]] == best["crossing"]
    assert halves["identical"]
    head = onnxruntime.InferenceSession("halves/head.onnx")
    assert "pose" not in {value.name for value in head.get_inputs()}
    frame = {name: np.ones((1, 3, 16, 16), np.float32) for name in ("left", "right")}
    given = {value.name: frame[value.name] for value in head.get_inputs()}
    sent = dict(zip([value.name for value in head.get_outputs()], head.run(None, given), strict=True))
    sent |= {name: frame[name] for name in halves["passthrough"]}
    assert sum(array.nbytes for array in sent.values()) == best["payload_bytes"]


def test_what_is_sent_and_what_is_not_is_said(model: Path) -> None:
    code, out, text = run("cut", model, "--at", "flat", "--aggregator-input", "pose", "-o", "halves", "--json")
    assert code == 0, text
    body = json.loads(out)
    assert (body["tensors"], body["aggregator_inputs"]) == (["flat", "near"], ["pose"])
    assert "sent: near (crosses as well)" in text
    assert "not sent: pose (the aggregator's own)" in text
    assert "halves equal the model bit for bit" in text


def test_a_lighter_link_is_for_what_is_neither_given_nor_an_output(model: Path) -> None:
    arrays = {"left": (8, 1, 3, 16, 16), "right": (8, 1, 3, 16, 16), "pose": (8, 1, 4)}
    rng = np.random.default_rng(0)
    np.savez("frames.npz", **{name: rng.standard_normal(shape).astype("f4") for name, shape in arrays.items()})
    common = ("cut", model, "--at", "flat,early", "--aggregator-input", "pose", "-o", "halves", "--json")
    code, out, text = run(*common, "--link-dtype", "uint8", "--calibration", "frames.npz")
    assert code == 0, text
    body = json.loads(out)
    assert (body["tensors"], body["results"], body["identical"]) == (["flat_uint8"], ["early"], True)
    assert body["costs"][0]["off"]["early"] == 0
    assert body["costs"][0]["off"]["logits"] > 0


def test_tokens_beyond_a_vocabulary_ask_for_real_ones(model: Path) -> None:
    """Noise for whole numbers is bytes, and this vocabulary has four words."""
    asked = stereo()
    asked.graph.input[2].CopyFrom(onnx.helper.make_tensor_value_info("pose", onnx.TensorProto.INT64, (1,)))
    for node in asked.graph.node:
        if node.output[0] == "asked":
            node.CopyFrom(onnx.helper.make_node("Gather", ["words", "pose"], ["asked"]))
    asked.graph.initializer.append(onnx.numpy_helper.from_array(np.eye(4, 8, dtype=np.float32), "words"))
    onnx.save(asked, "asked.onnx")
    common = ("cut", "asked.onnx", "--at", "flat", "--aggregator-input", "pose", "-o", "halves")
    code, _, text = run(*common)
    assert code == 1
    assert "(real inputs are given with --calibration FILE.npz)" in text
    assert len(text.strip().splitlines()) == 1
    arrays = {
        name: np.random.default_rng(0).standard_normal((2, 1, 3, 16, 16)).astype("f4") for name in ("left", "right")
    }
    np.savez("frames.npz", pose=np.array([[1], [3]]), **arrays)
    code, _, text = run(*common, "--calibration", "frames.npz")
    assert code == 0, text
    assert "halves equal the model bit for bit, in ONNX Runtime with its optimisations off, on frames given" in text
    code, _, text = run("partition", "asked.onnx", "--system", "hmd", "--aggregator-input", "pose")
    assert code == 0, text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("partition", "--aggregator-input", "prompt"), "'prompt' (there are 'left', 'right', 'pose')"),
        (("partition", "-o", "bundle"), "the model has 3 inputs ('left', 'right', 'pose'), a bundle has one"),
        (("cut", "--at", "told", "--aggregator-input", "pose", "-o", "halves"), "'told' depends on 'pose'"),
        (("partition", "--calibration", "."), "pictures are for models of one input, this has 3"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_one_line(model: Path, arguments: tuple[str, ...], message: str) -> None:
    code, _, text = run(arguments[0], model, *arguments[1:])
    assert code == 1
    assert message in text
    assert len(text.strip().splitlines()) == 1
    assert not Path("halves").exists()
    assert not Path("bundle").exists()
