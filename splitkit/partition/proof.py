"""Halves of a cut beside the model, in ONNX Runtime."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from splitkit.graphs.cut import Halves
from splitkit.graphs.placement import Placement
from splitkit.graphs.session import Arrays, Session
from splitkit.graphs.subject import Subject


@dataclass(frozen=True)
class Proof:
    """How the halves agree with the model on one set of inputs, with ONNX Runtime's graph optimisations off.

    Attributes:
        identical: every output bit for bit.
        worst: largest difference of an output, relative to the largest value in it.
        silent: outputs that are the same for other inputs, or hold nothing but zeros or NaN: of them nothing is shown.
    """

    identical: bool
    worst: float
    silent: tuple[str, ...]


def prove(model: onnx.ModelProto, halves: Halves, inputs: Arrays, others: Arrays) -> Proof:
    """Run model and halves.

    Args:
        model: what was cut.
        halves: of it.
        inputs: of the model, by name.
        others: a second set, to see whether the outputs say anything of their inputs.

    Raises:
        ModelError: ONNX Runtime cannot run the model or a half.
    """
    head, tail = Session(halves.head), Session(halves.tail)
    sent = head(inputs)
    received = {name: inputs[name] for name in (*halves.passthrough, *halves.own)}
    received |= {name: sent[name] for name in halves.tensors}
    return _compared(model, sent | tail(received), inputs, others)  # tail gets what crosses and its own, nothing else


def prove_views(subject: Subject, halves: Placement, inputs: Arrays, others: Arrays) -> Proof:
    """Run a model of several views, the sensor's half once a view, and the aggregator's on what all of them send.

    Args:
        subject: what was cut.
        halves: both of them.
        inputs, others: of the whole, by name, as for `prove`.

    Raises:
        ModelError: as `prove`.
    """
    head, tail = Session(halves.models["sensor"]), Session(halves.models["aggregator"])
    [image] = subject.edges.captured_names
    images = np.concatenate([inputs[name] for name in subject.named(image)])
    each = [head({image: view}) for view in np.split(images, subject.views)]
    sent = {name: np.concatenate([one[name] for one in each]) for name in each[0]} | {image: images}
    received = dict(zip(tail.inputs, (sent[name] for name in halves.crossing), strict=False))
    return _compared(subject.whole, tail(received | {name: inputs[name] for name in subject.own}), inputs, others)


def _compared(model: onnx.ModelProto, found: Arrays, inputs: Arrays, others: Arrays) -> Proof:
    """What was found beside what the model gives."""
    session = Session(model)
    whole, elsewhere = session(inputs), session(others)
    worst, identical = 0.0, True
    for name, expected in whole.items():
        actual = found[name]
        identical = identical and actual.tobytes() == expected.tobytes()
        worst = max(worst, _difference(expected, actual))
    silent = [name for name, value in whole.items() if _says_nothing(value, elsewhere[name])]
    return Proof(identical, worst, tuple(silent))


def _difference(expected: NDArray[Any], actual: NDArray[Any]) -> float:
    if expected.shape != actual.shape or expected.dtype != actual.dtype:
        return float("inf")
    if expected.dtype.kind not in "fiu" or not expected.size:
        return 0.0 if np.array_equal(expected, actual) else float("inf")
    a, b = expected.astype(np.float64), actual.astype(np.float64)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    scale = np.abs(a[np.isfinite(a)]).max(initial=0.0) or 1.0
    return float(np.where(same, 0.0, np.abs(a - b)).max() / scale)


def _says_nothing(value: NDArray[Any], elsewhere: NDArray[Any]) -> bool:
    if value.dtype.kind == "f" and (not value.any() or bool(np.isnan(value).all())):
        return True
    return value.shape == elsewhere.shape and value.tobytes() == elsewhere.tobytes()
