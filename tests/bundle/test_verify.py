from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from splitkit.bundle.verify import Agreement, Array, Half, Part, Reference, relative_error, verify
from splitkit.errors import VerificationError

FRAMES, VIEWS, CLASSES = 200, 2, 5
RNG = np.random.default_rng(0)
WEIGHTS = RNG.standard_normal((VIEWS * 12, CLASSES)).astype(np.float32)
WEIGHTS[[0, 12]] = 0  # the first pixel of each view decides nothing
IMAGES = RNG.integers(0, 256, (FRAMES, VIEWS, 1, 4, 3)).astype(np.uint8)


def sensor_for(dtype: str) -> Half:
    """Halves the pixels' values and sends them as `dtype`."""
    return lambda image: (image / 2).astype(dtype)


def aggregator(link: NDArray[np.generic]) -> NDArray[np.generic]:
    return (link.astype(np.float32).reshape(1, -1) / 64) @ WEIGHTS


def reference_for(dtype: str) -> Reference:
    link = np.stack([np.concatenate([sensor_for(dtype)(view[None]) for view in frame]) for frame in IMAGES])
    return Reference(IMAGES, (link,), np.concatenate([aggregator(frame) for frame in link]), "torch")


def compared(reference: Reference, sensor: Half | None, aggregator: Half | None) -> Agreement:
    """Verify halves that take and give one array each."""

    def part(half: Half) -> Part:
        return lambda arrays: tuple(half(array) for array in arrays)

    return verify(reference, "numpy", sensor and part(sensor), aggregator and part(aggregator))


@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8"])
def test_equal_halves_agree(dtype: str) -> None:
    found = compared(reference_for(dtype), sensor_for(dtype), aggregator)
    assert found.link_error == 0
    assert found.scores_error < 1e-6
    assert found.top1_agreement == 1
    assert (found.scores_tolerance is None) == (dtype == "uint8")


def test_uint8_border_may_be_off_by_one_and_not_by_two() -> None:
    reference = reference_for("uint8")

    def off_by_one_somewhere(image: NDArray[np.generic]) -> NDArray[np.generic]:
        sent = sensor_for("uint8")(image)
        sent[0, 0, 0, 0] += 1
        return sent

    assert compared(reference, off_by_one_somewhere, aggregator).link_error == 1
    with pytest.raises(VerificationError, match="differs from the unsplit network by 2 LSB, 1 LSB is allowed"):
        compared(reference, lambda x: sensor_for("uint8")(x) + np.uint8(2), aggregator)


@pytest.mark.parametrize(("dtype", "within", "beyond"), [("float32", 5e-5, 2e-4), ("float16", 1e-3, 4e-3)])
def test_float_link_has_a_relative_tolerance(dtype: str, within: float, beyond: float) -> None:
    reference = reference_for(dtype)

    def off(by: float) -> Half:
        return lambda image: (image / 2 * (1 + by)).astype(dtype)

    compared(reference, off(within), aggregator)
    with pytest.raises(VerificationError, match="sensor's output differs"):
        compared(reference, off(beyond), aggregator)


def test_wrong_aggregator_is_found() -> None:
    with pytest.raises(VerificationError, match="the aggregator's scores differ"):
        compared(reference_for("uint8"), sensor_for("uint8"), lambda link: aggregator(link) * 1.001)


def test_views_in_the_wrong_order_are_found() -> None:
    with pytest.raises(VerificationError):
        compared(reference_for("float32"), sensor_for("float32"), lambda link: aggregator(link[::-1]))


def test_wrong_dtype_on_the_link_is_found() -> None:
    with pytest.raises(VerificationError, match="sensor's output differs"):
        compared(reference_for("float16"), sensor_for("float32"), aggregator)


def test_not_a_number_is_found() -> None:
    with pytest.raises(VerificationError):
        compared(reference_for("float32"), sensor_for("float32"), lambda link: aggregator(link) * np.nan)


def test_too_few_equal_classes_are_found() -> None:
    # Scores so close together that one LSB at the border turns the class.
    def near_tie(link: NDArray[np.generic]) -> NDArray[np.generic]:
        mean = link.astype(np.float32).mean()
        return np.array([[mean, mean + (0.01 if int(link[0, 0, 0, 0]) % 2 else -0.01)]], np.float32)

    link = reference_for("uint8").links[0]
    reference = Reference(IMAGES, (link,), np.concatenate([near_tie(frame) for frame in link]), "torch")
    with pytest.raises(VerificationError, match=r"choose the unsplit network's class for .*% of 200 frames"):
        compared(reference, lambda x: sensor_for("uint8")(x) + np.uint8(1), near_tie)


def test_degenerate_systems_have_one_half() -> None:
    raw = Reference(IMAGES, (IMAGES,), np.concatenate([aggregator(frame) for frame in IMAGES]), "torch")
    found = compared(raw, None, aggregator)
    assert found.link_error is None
    assert found.scores_tolerance == 1e-4

    def all_on_sensor(image: NDArray[np.generic]) -> NDArray[np.generic]:
        return aggregator(np.concatenate([image, image]))

    one_view = IMAGES[:, :1]
    scores = np.concatenate([all_on_sensor(frame) for frame in one_view])
    found = compared(Reference(one_view, (scores[:, None],), scores, "torch"), all_on_sensor, None)
    assert found.aggregator_error is None
    assert found.scores_error == 0


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (np.zeros((FRAMES, CLASSES), np.float32), "vanish"),
        (np.full((FRAMES, CLASSES), np.nan, np.float32), "not finite"),
        (np.ones((FRAMES, 1), np.float32) * np.arange(CLASSES, dtype=np.float32), "hardly depend on the image"),
    ],
)
def test_reference_that_proves_nothing_is_refused(scores: NDArray[np.float32], message: str) -> None:
    reference = Reference(IMAGES, reference_for("uint8").links, scores, "torch")
    with pytest.raises(VerificationError, match=message):
        compared(reference, sensor_for("uint8"), aggregator)


def test_of_several_tensors_the_one_nearest_to_its_tolerance_is_stated() -> None:
    """The sensor sends codes and floats; the images cross as they are."""
    codes, floats = (reference_for(dtype).links[0] for dtype in ("uint8", "float32"))
    reference = Reference(IMAGES, (codes, floats, IMAGES), reference_for("uint8").scores, "onnxruntime")

    def sends(by: float) -> Part:
        return lambda arrays: (sensor_for("uint8")(arrays[0]), (arrays[0] / 2 * (1 + by)).astype(np.float32))

    def takes(arrays: Sequence[Array]) -> tuple[Array, ...]:
        link, others, images = arrays
        return (aggregator(link) if others.shape == images.shape else link,)

    found = verify(reference, "numpy", sends(5e-5), takes)
    assert found.link_error == pytest.approx(5e-5, rel=0.01)
    assert (found.link_tolerance, found.scores_tolerance, found.reference) == (1e-4, None, "onnxruntime")
    with pytest.raises(VerificationError, match="sensor's output differs"):
        verify(reference, "numpy", sends(2e-4), takes)


def test_a_tensor_of_zeros_agrees_with_itself_alone() -> None:
    zeros = np.zeros((2, 3), np.float32)
    assert relative_error(zeros, zeros) == 0
    assert relative_error(zeros + 1, zeros) == float("inf")
