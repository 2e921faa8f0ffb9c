"""Which views a model has."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from splitkit.errors import ModelError
from splitkit.graphs.edges import Edges
from splitkit.graphs.subject import OneView, Subject
from splitkit.graphs.views import SeparateViews

if TYPE_CHECKING:
    import onnx


def subject_of(model: "onnx.ModelProto", edges: Edges, views: int, join: Sequence[str]) -> Subject:
    """A model as so many sensors and an aggregator share it.

    Args:
        edges: of the model.
        views: how many sensors there are, each of which captures one; 1 for a model as it is.
        join: tensors up to which everything is done for each view by itself; none for one view.

    Raises:
        ModelError: the model has another number of views, or they cannot be joined there.
    """
    if views == 1:
        return OneView(model, edges)
    names = ", ".join(map(repr, edges.captured_names))
    if len(edges.captured) != views:
        raise ModelError(
            f"sensors capture {len(edges.captured)} inputs ({names}), --views says {views}",
            "an input a view; --aggregator-input NAME for what no sensor captures",
        )
    if not join:
        raise ModelError(f"{views} views join somewhere", "--join TENSOR names where")
    return SeparateViews.of(model, edges, join)
