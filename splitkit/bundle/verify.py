"""Proof that sensor and aggregator together compute what the unsplit network computes.

Three comparisons per runtime: what the sensor sends against the reference's link tensors, what the aggregator makes of
the reference's link tensors, and the scores of both in a row. Relative errors are max |x - reference| / max |reference|
over all frames.

The reference is torch, or ONNX Runtime on the uncut model where there is nothing else, and the tolerances are the same.
They have to let pass that sums of the same products are added up in another order and fused differently, which happens
between torch and a compiler as it does between a whole and its halves within one runtime: about sqrt(n) x 6e-8 for sums
of n float32 products (n = 4608: 4e-6), over tens of layers some 1e-5. What they have to find, a lost operator, a wrong
border, a tensor of another node, is thousands of times larger.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from splitkit.errors import VerificationError

Array = NDArray[Any]


class Half(Protocol):
    """One half as a function: image (1, c, s, s) -> link tensor (1, ...), or (views, ...) of one frame -> (1, classes).

    An aggregator whose frames may lack views is told which are there, float32 (views,), 1 or 0; left out: all of them.
    """

    def __call__(self, array: Array, /, present: Array | None = None) -> Array: ...


Part = Callable[[Sequence[Array]], tuple[Array, ...]]
"""The same of a half through whose edge several tensors may pass, in the order of its graph."""

RELATIVE_TOLERANCE = {"float32": 1e-4, "float16": 2e-3}
"""By link dtype. float16 carries 11 significant bits: two neighbouring roundings are 1e-3 apart."""

COMPUTE_TOLERANCE = RELATIVE_TOLERANCE["float32"]
INT8_TOLERANCE = 0.05
"""Of halves in integers, and of root mean squares instead of the largest, as is the difference on a uint8 link:
runtimes round a sum to eight bits by rules of their own, and later layers make more of it where it lies between two
steps. ONNX Runtime differs from itself by 0.06 steps after eleven layers of an untrained network, by two at most. A
lost channel or a wrong weight is far more."""
INT8_TIE = 0.02
"""Classes whose scores differ by no more of the largest are as good as one another there: five of its 255 steps."""
BORDER_TOLERANCE_LSB = 1
LEAST_TOP1_AGREEMENT = 0.995

LEAST_VARIATION = 10.0
"""Scores must vary over the frames by this many tolerances, or agreement would prove nothing."""


@dataclass(frozen=True)
class Reference:
    """What the unsplit network computes.

    Attributes:
        images: (frames, views, channels, size, size), uint8 of a searched network.
        links: what crosses the cut, each (frames, views, ...) in its dtype: what the sensor computes, then the images
            where the aggregator takes them as they are.
        scores: float32 (frames, classes), or (frames, ...) whatever the network gives.
        runtime: what computed it.
        present: float32 (frames, views), which views the scores are of, where the aggregator takes a mask. All of them
            in the first half of the frames.
        quantised: a half computes in integers; the reference is of those halves then.
    """

    images: Array
    links: tuple[Array, ...]
    scores: Array
    runtime: Literal["torch", "onnxruntime"]
    present: Array | None = None
    quantised: bool = False

    @property
    def tolerance(self) -> float:
        """What relative errors of computed values may be."""
        return INT8_TOLERANCE if self.quantised else COMPUTE_TOLERANCE

    def error(self, values: Array, expected: Array) -> float:
        """How far values are off, relative: the largest difference, or of halves in integers the root mean square."""
        return _typical_error(values, expected) if self.quantised else relative_error(values, expected)

    def agrees(self, best: Array) -> Array:
        """Whether each frame's best class, (frames,), is the reference's; in integers, or one as good as that."""
        flat = self.scores.reshape(len(self.scores), -1)
        behind = flat.max(axis=1) - flat[np.arange(len(flat)), best]
        tie = INT8_TIE * np.abs(flat).max() if self.quantised else 0.0
        found: Array = (best == _best(self.scores)) | (behind < tie)
        return found

    @property
    def masks(self) -> tuple[Array, ...]:
        """The mask of every frame as an aggregator takes it, (frames, views, 1, 1, 1); none where it takes none."""
        return () if self.present is None else (self.present[:, :, None, None, None],)

    def check_is_telling(self) -> None:
        """Raise if agreement with this reference would prove nothing.

        Raises:
            VerificationError: the scores are not finite, vanish, or hardly depend on the image.
        """
        scores = self.scores.astype(np.float64)
        if not np.all(np.isfinite(scores)):
            raise VerificationError("the unsplit network's scores are not finite: nothing can be verified")
        largest = float(np.abs(scores).max(initial=0.0))
        if largest < 1e-3:
            raise VerificationError(f"the unsplit network's scores vanish (largest {largest:.2g})", "train it first")
        variation = float(scores.std(axis=0).max()) / largest
        if variation < LEAST_VARIATION * COMPUTE_TOLERANCE:
            raise VerificationError(
                f"the unsplit network's scores hardly depend on the image (variation {variation:.2g} of the largest)",
                "verify with different images, on a trained network",
            )


@dataclass(frozen=True)
class Agreement:
    """How well one runtime's halves agree with the reference; None where a half does not exist.

    Attributes:
        runtime: what ran the halves, such as `onnxruntime` or `tvm`.
        reference: what ran the whole.
        frames: number of frames compared.
        link_error: relative error of what the sensor sends; for a uint8 link the largest difference in LSB (of halves
            in integers the root mean square). Of several tensors it is that of the one nearest to its tolerance.
        link_tolerance: what `link_error` may be.
        aggregator_error: relative error of the scores the aggregator gives for the reference's link tensors.
        scores_error: relative error of the scores of both halves in a row.
        scores_tolerance: what `scores_error` may be; None for a uint8 link, where the top-1 agreement decides.
        top1_agreement: fraction of frames with the same best class, or in integers one that is as good.
    """

    runtime: str
    reference: Literal["torch", "onnxruntime"]
    frames: int
    link_error: float | None
    link_tolerance: float | None
    aggregator_error: float | None
    scores_error: float
    scores_tolerance: float | None
    top1_agreement: float


def verify(reference: Reference, runtime: str, sensor: Part | None, aggregator: Part | None) -> Agreement:
    """Run every frame through both halves and compare. A half that does not exist is None.

    Raises:
        VerificationError: the reference proves nothing, or an error exceeds its tolerance.
    """
    reference.check_is_telling()
    computed = () if sensor is None else _per_view(sensor, reference.images)
    sent = (*computed, *reference.links[len(computed) :])
    alone = None if aggregator is None else _per_frame(aggregator, (*reference.links, *reference.masks))
    scores = sent[0][:, 0] if aggregator is None else _per_frame(aggregator, (*sent, *reference.masks))
    error, tolerance = _link_error(computed, reference)
    dtypes = set() if aggregator is None else {str(link.dtype) for link in reference.links[: len(computed)]}
    largest = max([reference.tolerance, *(RELATIVE_TOLERANCE[dtype] for dtype in dtypes - {"uint8"})])
    agreement = Agreement(
        runtime=runtime,
        reference=reference.runtime,
        frames=len(reference.images),
        link_error=error,
        link_tolerance=tolerance,
        aggregator_error=None if alone is None else reference.error(alone, reference.scores),
        scores_error=reference.error(scores, reference.scores),
        scores_tolerance=None if "uint8" in dtypes else largest,
        top1_agreement=float(np.mean(reference.agrees(_best(scores)))),
    )
    _check(agreement, reference)
    return agreement


def relative_error(values: Array, reference: Array) -> float:
    """max |values - reference| / max |reference|; infinite if the shapes differ or a value is not finite."""
    if values.shape != reference.shape or not np.all(np.isfinite(values)):
        return float("inf")
    difference = float(np.abs(values.astype(np.float64) - reference.astype(np.float64)).max())
    largest = float(np.abs(reference.astype(np.float64)).max())
    return difference / largest if largest else float("inf") if difference else 0.0


def root_mean_square(values: Array) -> float:
    """Of all values."""
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))


def _typical_error(values: Array, reference: Array) -> float:
    """As `relative_error`, of root mean squares."""
    if values.shape != reference.shape or not np.all(np.isfinite(values)):
        return float("inf")
    difference, whole = root_mean_square(values.astype(np.float64) - reference), root_mean_square(reference)
    return difference / whole if whole else float("inf") if difference else 0.0


def _link_error(computed: Sequence[Array], whole: Reference) -> tuple[float | None, float | None]:
    """Error and tolerance of the tensor that is nearest to its tolerance; None where the sensor computes nothing."""
    found: list[tuple[float, float]] = []
    for sent, reference in zip(computed, whole.links, strict=False):
        quantised = reference.dtype == np.uint8
        tolerance = max(RELATIVE_TOLERANCE.get(str(reference.dtype), 0.0), whole.tolerance)
        if quantised:
            tolerance = float(BORDER_TOLERANCE_LSB)
        if sent.dtype != reference.dtype or sent.shape != reference.shape:
            error = float("inf")
        elif quantised:
            difference = np.abs(sent.astype(np.int64) - reference.astype(np.int64))
            error = float(root_mean_square(difference) if whole.quantised else difference.max())
        else:
            error = whole.error(sent, reference)
        found.append((error, tolerance))
    return max(found, key=lambda pair: pair[0] / pair[1], default=(None, None))


def _check(a: Agreement, reference: Reference) -> None:
    """Raise on the first error beyond its tolerance, in the order in which data flows."""
    if a.link_error is not None and a.link_tolerance is not None and not a.link_error <= a.link_tolerance:
        unit = " LSB" if a.link_tolerance == BORDER_TOLERANCE_LSB else ""
        raise VerificationError(
            f"{a.runtime}: the sensor's output differs from the unsplit network by {a.link_error:.3g}{unit}, "
            f"{a.link_tolerance:g}{unit} is allowed"
        )
    if a.aggregator_error is not None and not a.aggregator_error <= reference.tolerance:
        raise VerificationError(
            f"{a.runtime}: the aggregator's scores differ from the unsplit network by {a.aggregator_error:.3g}, "
            f"{reference.tolerance:g} is allowed"
        )
    if a.scores_tolerance is not None and not a.scores_error <= a.scores_tolerance:
        raise VerificationError(
            f"{a.runtime}: the scores of both halves differ from the unsplit network by {a.scores_error:.3g}, "
            f"{a.scores_tolerance:g} is allowed"
        )
    if (a.scores_tolerance is None or reference.quantised) and not a.top1_agreement >= LEAST_TOP1_AGREEMENT:
        raise VerificationError(
            f"{a.runtime}: both halves choose the unsplit network's class for {a.top1_agreement:.2%} of "
            f"{a.frames} frames, {LEAST_TOP1_AGREEMENT:.1%} is needed"
        )


def _per_view(sensor: Part, images: Array) -> tuple[Array, ...]:
    """What each sensor sends for each frame, each tensor (frames, views, ...)."""
    frames = [[sensor((view[None],)) for view in frame] for frame in images]
    tensors = range(len(frames[0][0]))
    return tuple(np.stack([np.concatenate([sent[i] for sent in views]) for views in frames]) for i in tensors)


def _per_frame(aggregator: Part, links: Sequence[Array]) -> Array:
    """Scores of each frame, (frames, ...)."""
    frames = zip(*links, strict=True)
    return np.concatenate([aggregator([np.ascontiguousarray(link) for link in frame])[0] for frame in frames])


def _best(scores: Array) -> Array:
    """Where the largest score of each frame is, (frames,)."""
    best: Array = scores.reshape(len(scores), -1).argmax(axis=1)
    return best
