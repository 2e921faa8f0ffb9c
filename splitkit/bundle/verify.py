"""Proof that sensor and aggregator together compute what the unsplit network computes.

Three comparisons per runtime: what the sensor sends against the reference's link tensor, what the aggregator makes of
the reference's link tensor, and the scores of both in a row. Relative errors are max |x - reference| / max |reference|
over all frames.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitkit.errors import VerificationError

Array = NDArray[Any]
Half = Callable[[Array], Array]
"""One half as a function: image (1, c, s, s) -> link tensor (1, ...), or (views, ...) of one frame -> (1, classes)."""

RELATIVE_TOLERANCE = {"float32": 1e-4, "float16": 2e-3}
"""By link dtype. float16 carries 11 significant bits: two neighbouring roundings are 1e-3 apart."""

COMPUTE_TOLERANCE = RELATIVE_TOLERANCE["float32"]
BORDER_TOLERANCE_LSB = 1
LEAST_TOP1_AGREEMENT = 0.995

LEAST_VARIATION = 10.0
"""Scores must vary over the frames by this many tolerances, or agreement would prove nothing."""


@dataclass(frozen=True)
class Reference:
    """What the unsplit network computes.

    Attributes:
        images: uint8 (frames, views, channels, size, size).
        link: (frames, views, ...) in the link's dtype; the images where the sensor computes nothing.
        scores: float32 (frames, classes).
    """

    images: Array
    link: Array
    scores: Array

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
        frames: number of frames compared.
        link_error: relative error of what the sensor sends; for a uint8 link the largest difference in LSB.
        link_tolerance: what `link_error` may be.
        aggregator_error: relative error of the scores the aggregator gives for the reference's link tensor.
        scores_error: relative error of the scores of both halves in a row.
        scores_tolerance: what `scores_error` may be; None for a uint8 link, where the top-1 agreement decides.
        top1_agreement: fraction of frames with the same best class.
    """

    runtime: str
    frames: int
    link_error: float | None
    link_tolerance: float | None
    aggregator_error: float | None
    scores_error: float
    scores_tolerance: float | None
    top1_agreement: float


def verify(reference: Reference, runtime: str, sensor: Half | None, aggregator: Half | None) -> Agreement:
    """Run every frame through both halves and compare. A half that does not exist is None.

    Raises:
        VerificationError: the reference proves nothing, or an error exceeds its tolerance.
    """
    reference.check_is_telling()
    dtype = str(reference.link.dtype) if sensor is not None and aggregator is not None else "float32"
    sent = reference.link if sensor is None else _per_view(sensor, reference.images)
    alone = None if aggregator is None else _per_frame(aggregator, reference.link)
    scores = sent[:, 0] if aggregator is None else _per_frame(aggregator, sent)
    quantised = dtype == "uint8"
    agreement = Agreement(
        runtime=runtime,
        frames=len(reference.images),
        link_error=None if sensor is None else _link_error(sent, reference.link, quantised),
        link_tolerance=None if sensor is None else (BORDER_TOLERANCE_LSB if quantised else RELATIVE_TOLERANCE[dtype]),
        aggregator_error=None if alone is None else relative_error(alone, reference.scores),
        scores_error=relative_error(scores, reference.scores),
        scores_tolerance=None if quantised else RELATIVE_TOLERANCE[dtype],
        top1_agreement=float(np.mean(scores.argmax(axis=1) == reference.scores.argmax(axis=1))),
    )
    _check(agreement)
    return agreement


def relative_error(values: Array, reference: Array) -> float:
    """max |values - reference| / max |reference|; infinite if the shapes differ or a value is not finite."""
    if values.shape != reference.shape or not np.all(np.isfinite(values)):
        return float("inf")
    difference = np.abs(values.astype(np.float64) - reference.astype(np.float64)).max()
    return float(difference / np.abs(reference.astype(np.float64)).max())


def _link_error(sent: Array, reference: Array, quantised: bool) -> float:
    if sent.dtype != reference.dtype or sent.shape != reference.shape:
        return float("inf")
    if quantised:
        return float(np.abs(sent.astype(np.int64) - reference.astype(np.int64)).max())
    return relative_error(sent, reference)


def _check(a: Agreement) -> None:
    """Raise on the first error beyond its tolerance, in the order in which data flows."""
    if a.link_error is not None and a.link_tolerance is not None and not a.link_error <= a.link_tolerance:
        unit = " LSB" if a.link_tolerance == BORDER_TOLERANCE_LSB else ""
        raise VerificationError(
            f"{a.runtime}: the sensor's output differs from the unsplit network by {a.link_error:.3g}{unit}, "
            f"{a.link_tolerance:g}{unit} is allowed"
        )
    if a.aggregator_error is not None and not a.aggregator_error <= COMPUTE_TOLERANCE:
        raise VerificationError(
            f"{a.runtime}: the aggregator's scores differ from the unsplit network by {a.aggregator_error:.3g}, "
            f"{COMPUTE_TOLERANCE:g} is allowed"
        )
    if a.scores_tolerance is not None and not a.scores_error <= a.scores_tolerance:
        raise VerificationError(
            f"{a.runtime}: the scores of both halves differ from the unsplit network by {a.scores_error:.3g}, "
            f"{a.scores_tolerance:g} is allowed"
        )
    if a.scores_tolerance is None and not a.top1_agreement >= LEAST_TOP1_AGREEMENT:
        raise VerificationError(
            f"{a.runtime}: both halves choose the unsplit network's class for {a.top1_agreement:.2%} of "
            f"{a.frames} frames, {LEAST_TOP1_AGREEMENT:.1%} is needed"
        )


def _per_view(sensor: Half, images: Array) -> Array:
    """What each sensor sends for each frame, (frames, views, ...)."""
    return np.stack([np.concatenate([sensor(view[None]) for view in frame]) for frame in images])


def _per_frame(aggregator: Half, link: Array) -> Array:
    """Scores of each frame, (frames, classes)."""
    return np.concatenate([aggregator(np.ascontiguousarray(frame)) for frame in link])
