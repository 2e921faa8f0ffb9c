"""What is cut: a model as it is, or that of one view out of several that go through the same operators."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, Self

import onnx

from splitkit.graphs.edges import Edges
from splitkit.graphs.narrow import LinkDtype, narrowed
from splitkit.graphs.placement import Placement, placed
from splitkit.space.tensor import TensorSpec

Ranges = Mapping[str, tuple[float, float]]
"""Lowest and highest value of tensors, by name."""


class Subject(Protocol):
    """A model whose operators are shared among sensors, one a view, and an aggregator."""

    @property
    def whole(self) -> onnx.ModelProto:
        """All of it."""
        ...

    @property
    def branch(self) -> onnx.ModelProto:
        """What one sensor may compute, of one view; all of it where there is but one."""
        ...

    @property
    def edges(self) -> Edges:
        """Of the branch: what a sensor captures, and all that it can give."""
        ...

    @property
    def own(self) -> tuple[str, ...]:
        """Inputs of the whole that the aggregator has by itself."""
        ...

    @property
    def views(self) -> int:
        """How many sensors there are."""
        ...

    def can_cross(self, tensor: TensorSpec) -> bool:
        """Whether a tensor of the branch can be sent: of several views it is one row each, in the first axis."""
        ...

    def named(self, tensor: str) -> tuple[str, ...]:
        """The whole's tensors that are this one of the branch: one a view, or one that holds all of them in a row."""
        ...

    def lightened(
        self, crossing: Sequence[str], dtype: LinkDtype, ranges: Ranges | None = None
    ) -> tuple[Self, Mapping[str, str]]:
        """The same with computed float32 tensors sent as `dtype` (`graphs.narrow.narrowed`), and what each that crosses
        is then called, by its name before."""
        ...

    def placed(self, crossing: Sequence[str]) -> Placement:
        """The half of one sensor that sends these tensors of the branch, and that of the aggregator.

        The aggregator's takes each of them once, (views, ...): those of all views, one after the other.

        Raises:
            ModelError: it cannot be cut there.
        """
        ...


@dataclass(frozen=True)
class OneView:
    """A model as it is."""

    whole: onnx.ModelProto = field(repr=False)
    edges: Edges
    views: int = 1

    @property
    def branch(self) -> onnx.ModelProto:
        return self.whole

    @property
    def own(self) -> tuple[str, ...]:
        return self.edges.own_names

    def can_cross(self, tensor: TensorSpec) -> bool:
        return True

    def named(self, tensor: str) -> tuple[str, ...]:
        return (tensor,)

    def lightened(
        self, crossing: Sequence[str], dtype: LinkDtype, ranges: Ranges | None = None
    ) -> tuple[Self, Mapping[str, str]]:
        computed = [name for name in crossing if name not in self.edges.captured_names]
        if not computed or set(crossing) >= set(self.edges.result_names):
            return self, {}  # without a split there is nothing to lighten
        found = narrowed(self.whole, computed, dtype, ranges)
        return replace(self, whole=found.model), found.sent

    def placed(self, crossing: Sequence[str]) -> Placement:
        return placed(self.whole, crossing, self.edges)
