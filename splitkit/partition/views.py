"""Which views a model has."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from splitkit.errors import ModelError
from splitkit.graphs.batched import BatchedViews
from splitkit.graphs.calibrate import values_of
from splitkit.graphs.edges import Edges, inputs_of
from splitkit.graphs.session import Session
from splitkit.graphs.subject import OneView, Subject
from splitkit.graphs.views import SeparateViews
from splitkit.partition.inputs import noisy

if TYPE_CHECKING:
    import onnx

MIXED = 1e-4
"""Relative difference between a view alone and among others beyond which they are not independent: sums of another
order, as runtimes have them for other batches, differ by less."""


def subject_of(model: "onnx.ModelProto", edges: Edges, views: int, join: Sequence[str]) -> Subject:
    """A model as so many sensors and an aggregator share it.

    Args:
        edges: of the model: an input a view, or one whose first axis they are.
        views: how many sensors there are, each of which captures one; 1 for a model as it is.
        join: tensors up to which everything is done for each view by itself; none for one view.

    Raises:
        ModelError: the model has another number of views, or they cannot be joined there.
    """
    if views == 1:
        return OneView(model, edges)
    batched = len(edges.captured) == 1 and edges.captured[0].shape[0] == views
    if not batched and len(edges.captured) != views:
        names = ", ".join(map(repr, edges.captured_names))
        raise ModelError(
            f"sensors capture {len(edges.captured)} inputs ({names}), --views says {views}",
            "an input a view, or one that begins with their number; --aggregator-input NAME is for others",
        )
    if not join:
        raise ModelError(f"{views} views join somewhere", "--join TENSOR names where")
    if not batched:
        return SeparateViews.of(model, edges, join)
    found = BatchedViews.of(model, edges, join)
    _require_independent(found, edges)
    return found


def _require_independent(found: BatchedViews, edges: Edges) -> None:
    """Raises ModelError: what is computed of a view at the join differs when it is alone."""
    frame = noisy(inputs_of(found.whole), 1)[0]
    names, [image] = found.edges.result_names, edges.captured_names
    together, alone = values_of(found.whole, names, [frame]), Session(found.branch)
    each = [alone({image: view}) for view in np.split(frame[image], found.views)]
    for name in names:
        expected = together[name][0].astype(np.float64)
        actual = np.concatenate([view[name] for view in each]).astype(np.float64)
        if np.abs(expected - actual).max() > MIXED * max(np.abs(expected).max(), 1e-30):
            raise ModelError(
                f"tensor {name!r} of a view alone is another than among {found.views}",
                "views are mixed ahead of the join: name an earlier one",
            )
