"""Less over the link: fewer channels, fewer bits, both made from real inputs, and what that costs the answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from splitkit.errors import ModelError
from splitkit.graphs.calibrate import least_error_range, ranges_of, values_of
from splitkit.graphs.narrow import Altered, LinkDtype, narrowed
from splitkit.graphs.seam import Seam
from splitkit.graphs.session import Arrays
from splitkit.graphs.subject import OneView, Subject
from splitkit.partition.bottleneck import with_bottleneck


def lighten(
    model: onnx.ModelProto,
    tensors: Sequence[str],
    frames: Sequence[Arrays],
    *,
    ratio: float | None = None,
    dtype: LinkDtype | None = None,
) -> Altered:
    """A model that sends less where it is cut: first `with_bottleneck`, then `narrow_link` of what that sends.

    Args:
        tensors: where to cut.
        frames: the model's inputs by name.
        ratio: of the channels; None for all.
        dtype: over the link; None for float32 as it is.

    Raises:
        ModelError: as either.
    """
    light = Altered(model, {})
    if ratio is not None:
        if not frames:
            raise ModelError("a bottleneck is made from the features of real inputs", "give --calibration")
        light = with_bottleneck(model, tensors, ratio, frames)
    if dtype is None:
        return light
    narrow = narrow_link(light.model, light.at(tensors), dtype, frames)
    origin = {reduced: name for name, reduced in light.sent.items()}
    return Altered(narrow.model, {origin.get(name, name): sent for name, sent in narrow.sent.items()})


def narrow_link(model: onnx.ModelProto, tensors: Sequence[str], dtype: LinkDtype, frames: Sequence[Arrays]) -> Altered:
    """`graphs.narrow.narrowed`, with the ranges that lose least on these frames.

    Args:
        tensors: where to cut; all float32 tensors that the sensor then computes and sends are narrowed.
        frames: the model's inputs by name; for uint8 at least one.

    Raises:
        ModelError: it cannot be cut there, nothing that crosses is computed as float32, uint8 without frames, or ONNX
            Runtime cannot run the model.
    """
    wanted = Seam(model, tensors).computed
    if not wanted:
        raise ModelError(
            f"at {', '.join(map(repr, tensors))} nothing float32 crosses", f"{dtype} over the link is for such"
        )
    if dtype == "float16":
        return narrowed(model, tensors, dtype)
    if not frames:
        raise ModelError("uint8 over the link takes the range of what crosses", "give --calibration")
    return narrowed(model, tensors, dtype, ranges_of(model, wanted, frames))


def lighter(
    subject: Subject, at: Sequence[str], dtype: LinkDtype | None, ratio: float | None, frames: Sequence[Arrays]
) -> tuple[Subject, list[str]]:
    """`lighten` for any number of views, whose sensors send codes of one range; and where it is then to be cut.

    Args:
        at: where to cut the branch.
        frames: the whole's inputs by name.

    Raises:
        ModelError: as `lighten`; or a bottleneck is asked for of several views.
    """
    if isinstance(subject, OneView):
        found = lighten(subject.whole, at, frames, ratio=ratio, dtype=dtype)
        return replace(subject, whole=found.model), list(found.at(at))
    if ratio is not None:
        raise ModelError(f"a bottleneck is for one view, there are {subject.views}", "leave out --inject-bottleneck")
    if dtype is None:
        return subject, list(at)
    ranges = {}
    if dtype == "uint8":
        if not frames:
            raise ModelError("uint8 over the link takes the range of what crosses", "give --calibration")
        each = {name: subject.named(name) for name in at}
        values = values_of(subject.whole, [name for names in each.values() for name in names], frames)
        ranges = {name: least_error_range(np.stack([values[one] for one in names])) for name, names in each.items()}
    found_views, sent = subject.lightened(at, dtype, ranges)
    return found_views, [sent.get(name, name) for name in at]


@dataclass(frozen=True)
class Cost:
    """What a lighter link costs a model's answers.

    Attributes:
        ratio: share of the channels sent; None for all.
        off: by output, rms of the difference over rms of the output.
        accuracy, whole_accuracy: share of frames classified as labelled, with it and by the model as it was.
    """

    ratio: float | None
    off: Mapping[str, float]
    accuracy: float | None = None
    whole_accuracy: float | None = None

    def text(self, dtype: str | None) -> str:
        """In one line."""
        sent = [f"{self.ratio:.3g} of the channels"] if self.ratio is not None else []
        outputs = ", ".join(f"output {name} is off by {off:.2%} (rms)" for name, off in self.off.items())
        line = f"{', '.join([*sent, *([dtype] if dtype else [])])} over the link: {outputs}"
        if self.accuracy is None:
            return line
        return f"{line}; right on {self.accuracy:.1%} of the frames, the model on {self.whole_accuracy:.1%}"


def cost_of(
    model: onnx.ModelProto,
    other: onnx.ModelProto,
    ratio: float | None,
    frames: Sequence[Arrays],
    labels: NDArray[Any] | None = None,
) -> Cost:
    """Compare the answers of a model and of one of the same outputs.

    Raises:
        ModelError: the model has no class as high as a label, or ONNX Runtime cannot run one of them.
    """
    names = [value.name for value in model.graph.output]
    expected, found = (values_of(each, names, frames) for each in (model, other))
    off = {}
    for name in names:
        exact, actual = expected[name].astype(np.float64), found[name].astype(np.float64)
        size = float(np.sqrt(np.square(exact).mean()))
        difference = float(np.sqrt(np.square(exact - actual).mean()))
        off[name] = difference / size if size else float("inf") if difference else 0.0
    if labels is None:
        return Cost(ratio, off)
    right = [_accuracy(each[names[0]].reshape(len(frames), -1), labels, names[0]) for each in (found, expected)]
    return Cost(ratio, off, *right)


def _accuracy(scores: NDArray[Any], labels: NDArray[Any], name: str) -> float:
    if labels.max(initial=0) >= scores.shape[1]:
        raise ModelError(f"output {name!r} has {scores.shape[1]} classes", f"the labels go up to {labels.max()}")
    return float((scores.argmax(1) == labels).mean())
