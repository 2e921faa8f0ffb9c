"""Calibrating what crosses, and what it costs."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from splitkit.errors import DataError, ModelError
from splitkit.graphs.calibrate import least_error_range, ranges_of
from splitkit.graphs.cut import cut
from splitkit.graphs.narrow import affine
from splitkit.graphs.session import Arrays, Session
from splitkit.partition.bottleneck import with_bottleneck
from splitkit.partition.inputs import read_frames, read_labels
from splitkit.partition.link import cost_of, lighten, narrow_link
from splitkit.partition.proof import prove
from splitkit.space.tensor import TensorSpec
from tests.bundle.plain_models import image_twice, inputs_of, plain

PIXELS = TensorSpec("pixels", (1, 3, 16, 16), "float32")


def frames(count: int = 8) -> list[Arrays]:
    return [{"pixels": frame} for frame in inputs_of(plain(), count)]


def error(values: np.typing.NDArray[np.float32], low: float, high: float) -> float:
    scale, zero_point = affine(low, high)
    codes = np.clip(np.rint(values / scale) + zero_point, 0, 255)
    return float(np.square((codes - zero_point) * scale - values).mean())


def test_a_range_holds_what_is_common_and_clips_what_is_rare() -> None:
    values = np.random.default_rng(0).standard_normal(1_000_000).astype(np.float32)
    values[0] = 60.0
    low, high = least_error_range(values)
    assert high < 50
    assert error(values, low, high) < 0.8 * error(values, float(values.min()), 60.0)
    even = np.linspace(-1, 3, 1000, dtype=np.float32)
    assert least_error_range(even) == pytest.approx((-1, 3))


def test_ranges_are_of_the_tensors_named() -> None:
    found = ranges_of(plain(), ["active", "second"], frames())
    assert found["active"][0] == 0  # after a relu
    assert found["second"][0] < 0 < found["second"][1]
    assert least_error_range(np.array([np.nan, np.inf])) == (0.0, 0.0)


def test_more_bits_lose_less() -> None:
    lost = {}
    for dtype in ("float16", "uint8"):
        narrow = narrow_link(plain(), ["active"], dtype, frames())  # type: ignore[arg-type]
        lost[dtype] = cost_of(plain(), narrow.model, None, frames()).off["logits"]
    assert 0 < 5 * lost["float16"] < lost["uint8"] < 0.05
    assert cost_of(plain(), plain(), None, frames()).off == {"logits": 0.0}


def test_uint8_takes_frames_and_something_to_narrow() -> None:
    with pytest.raises(ModelError, match=r"range of what crosses.*--calibration"):
        narrow_link(plain(), ["active"], "uint8", [])
    narrow = narrow_link(plain(), ["active"], "uint8", frames())
    with pytest.raises(ModelError, match="nothing float32 crosses"):
        narrow_link(narrow.model, [narrow.sent["active"]], "uint8", frames())


def test_what_is_not_computed_crosses_as_it_is() -> None:
    narrow = narrow_link(image_twice(), ["inner"], "uint8", frames())
    assert set(narrow.sent) == {"inner"}


def test_a_folder_of_pictures_is_frames(tmp_path: Path) -> None:
    for i, size in enumerate(((20, 20), (40, 16))):
        Image.new("RGB", size, (0, 51 * (i + 1), 255)).save(tmp_path / f"{i}.png")
    (tmp_path / "notes.txt").write_text("no picture")
    found = read_frames(tmp_path, [PIXELS])
    assert [frame["pixels"].shape for frame in found] == [(1, 3, 16, 16)] * 2
    np.testing.assert_allclose(found[1]["pixels"][0, :, 8, 8], [0, 0.4, 1], atol=1e-6)
    bytes_ = read_frames(tmp_path, [TensorSpec("pixels", (1, 3, 8, 8), "uint8")])
    assert bytes_[0]["pixels"][0, :, 4, 4].tolist() == [0, 51, 255]


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ([PIXELS, PIXELS], "models of one input, this has 2"),
        ([TensorSpec("sound", (1, 16000), "float32")], "'sound'.*squares of 1 or 3 channels"),
        ([TensorSpec("wide", (1, 3, 16, 32), "float32")], "'wide'.*squares of 1 or 3 channels"),
        ([PIXELS], "holds no picture"),
    ],
)
def test_folders_that_are_no_frames_are_refused(tensors: list[TensorSpec], message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        read_frames(tmp_path, tensors)


def test_arrays_of_several_inputs_have_as_many_frames(tmp_path: Path) -> None:
    other = TensorSpec("other", (1, 2), "float32")
    arrays = {"pixels": np.zeros((3, 1, 3, 16, 16), np.float32), "other": np.zeros((3, 1, 2), np.float32)}
    np.savez(tmp_path / "ok.npz", **arrays)
    assert len(read_frames(tmp_path / "ok.npz", [PIXELS, other])) == 3
    np.savez(tmp_path / "odd.npz", **(arrays | {"other": np.zeros((2, 1, 2), np.float32)}))
    with pytest.raises(DataError, match="inputs have 2, 3 frames"):
        read_frames(tmp_path / "odd.npz", [PIXELS, other])


def test_a_bottleneck_loses_less_the_wider_it_is_and_nothing_at_full_width() -> None:
    off = [
        cost_of(plain(), with_bottleneck(plain(), ["active"], ratio, frames(32)).model, ratio, frames(32)).off["logits"]
        for ratio in (0.25, 0.5, 0.75, 1.0)
    ]
    assert off == sorted(off, reverse=True)
    assert off[0] > 0.01
    assert off[-1] < 1e-5


def test_a_bottleneck_is_the_best_linear_one() -> None:
    """By the features: what is left over is what the smallest eigenvalues of their covariance say."""
    from splitkit.graphs.calibrate import values_of

    made = with_bottleneck(plain(), ["active"], 0.5, frames(16))
    assert made.sent == {"active": "active_reduce"}
    features = values_of(plain(), ["active"], frames(16))["active"]
    recovered = values_of(made.model, ["active_recover"], frames(16))["active_recover"]
    samples = np.moveaxis(features, 2, -1).reshape(-1, 8)
    left = np.linalg.eigvalsh(np.cov(samples, rowvar=False, bias=True))[:4].sum()
    assert float(np.square(recovered - features).sum() / len(samples)) == pytest.approx(left, rel=1e-4)


def test_fewer_channels_and_fewer_bits_go_together() -> None:
    light = lighten(plain(), ["active"], frames(), ratio=0.5, dtype="uint8")
    assert light.sent == {"active": "active_reduce_uint8"}
    halves = cut(light.model, ["active_reduce_uint8"])
    (value,) = halves.head.graph.output
    assert [dim.dim_value for dim in value.type.tensor_type.shape.dim] == [1, 4, 8, 8]
    assert prove(light.model, halves, *frames(2)).identical
    assert lighten(plain(), ["active"], frames()).sent == {}


def test_vectors_can_be_reduced_too() -> None:
    made = with_bottleneck(plain(), ["flat"], 0.5, frames(32))
    onnx.checker.check_model(made.model, full_check=True)
    assert 0 < cost_of(plain(), made.model, 0.5, frames(32)).off["logits"] < 1


def test_accuracies_are_of_the_labels() -> None:
    scores = Session(plain())
    labels = np.array([scores(frame)["logits"].argmax() for frame in frames()])
    assert cost_of(plain(), plain(), None, frames(), labels).accuracy == 1
    wrong = cost_of(plain(), plain(), None, frames(), (labels + 1) % 10)
    assert (wrong.accuracy, wrong.whole_accuracy) == (0, 0)
    with pytest.raises(ModelError, match="'logits' has 10 classes"):
        cost_of(plain(), plain(), None, frames(), labels + 10)


def test_labels_are_one_whole_number_a_frame(tmp_path: Path) -> None:
    path = tmp_path / "frames.npz"
    np.savez(path, pixels=inputs_of(plain(), 3))
    assert read_labels(path, 3) is None
    for labels, fits in (([1, 2, 3], True), ([1, 2], False), ([0.5, 1, 2], False), ([-1, 0, 1], False)):
        np.savez(path, labels=np.array(labels))
        if fits:
            found = read_labels(path, 3)
            assert found is not None
            assert found.tolist() == labels
        else:
            with pytest.raises(DataError, match=r"labels: .*whole numbers \[3\]"):
                read_labels(path, 3)
