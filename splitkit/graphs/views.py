"""A model with an input a view, cut ahead of where the views join: the branch of one of them is every sensor's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import onnx

from splitkit.errors import ModelError
from splitkit.graphs.cut import Halves, computing, cut
from splitkit.graphs.edges import Edges, spec_of
from splitkit.graphs.narrow import LinkDtype, narrowed
from splitkit.graphs.placement import Placement
from splitkit.graphs.shapes import value_infos
from splitkit.graphs.stacked import stacked
from splitkit.graphs.subject import Ranges
from splitkit.graphs.twins import twins_of
from splitkit.space.tensor import TensorSpec


@dataclass(frozen=True)
class SeparateViews:
    """Views that go through the same operators with the same weights up to the join, each from an input of its own.

    Attributes:
        whole, own: the model, and those of its inputs that are the aggregator's own.
        branch, edges: the first view's part, from its image to the join.
        twins: the name of every tensor of the branch in each view.
    """

    whole: onnx.ModelProto = field(repr=False)
    branch: onnx.ModelProto = field(repr=False)
    edges: Edges
    own: tuple[str, ...]
    twins: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, model: onnx.ModelProto, edges: Edges, join: Sequence[str]) -> Self:
        """The views that a model's captured inputs are.

        Args:
            edges: of the model.
            join: tensors of one view, whichever, up to which everything is a view's own. What else goes on from ahead
                of them to the aggregator joins them.

        Raises:
            ModelError: inputs are of different shapes or dtypes, views differ, a tensor of the join is none of one
                view, an output of the model is computed ahead of the join, or an image is read behind it.
        """
        first = edges.captured[0]
        for tensor in edges.captured[1:]:
            if (tensor.shape, tensor.dtype) != (first.shape, first.dtype):
                raise ModelError(
                    f"input {tensor.name!r} is {tensor.dtype} {list(tensor.shape)}, "
                    f"{first.name!r} is {first.dtype} {list(first.shape)}",
                    "views are alike",
                )
        if first.shape[0] != 1:
            raise ModelError(f"input {first.name!r} has shape {list(first.shape)}", "a view's must begin with 1")
        twins, at = twins_of(model, edges.captured_names, join)
        halves = cut(model, [name for each in at for name in twins[each]], aggregator_inputs=edges.own_names)
        require_join(halves, edges)
        twins, at = twins_of(model, edges.captured_names, halves.tensors)
        values = value_infos(model)
        results = tuple(spec_of(values[name]) for name in at)
        for tensor in results:
            if tensor.shape[:1] != (1,):
                raise ModelError(
                    f"tensor {tensor.name!r} has shape {list(tensor.shape)}", "it must begin with 1: a view"
                )
        of_one = Edges((first,), (), results, final=False)
        return cls(model, computing(model, at), of_one, edges.own_names, twins)

    @property
    def views(self) -> int:
        return len(self.twins[self.edges.captured_names[0]])

    def can_cross(self, tensor: TensorSpec) -> bool:
        return tensor.shape[:1] == (1,)

    def named(self, tensor: str) -> tuple[str, ...]:
        return self.twins[tensor]

    def lightened(
        self, crossing: Sequence[str], dtype: LinkDtype, ranges: Ranges | None = None
    ) -> tuple[Self, Mapping[str, str]]:
        computed = [name for name in crossing if name not in self.edges.captured_names]
        if not computed:
            return self, {}
        each = {twin: name for name in computed for twin in self.twins[name]}
        of_each = {twin: ranges[name] for twin, name in each.items() if ranges and name in ranges}
        found = narrowed(self.whole, list(each), dtype, of_each)
        sent, twins = {}, dict(self.twins)
        for name in dict.fromkeys(each[twin] for twin in found.sent):
            some = [twin for twin in self.twins[name] if twin not in found.sent]
            if some:
                raise ModelError(f"tensor {some[0]!r} is read of some views only", f"{dtype} is for what all send")
            sent[name] = found.sent[name]
            twins[sent[name]] = tuple(found.sent[twin] for twin in self.twins[name])
        return replace(self, whole=found.model, twins=twins), sent

    def placed(self, crossing: Sequence[str]) -> Placement:
        [image] = self.edges.captured_names
        computed = [name for name in crossing if name != image]
        if not computed:
            whole = stacked(self.whole, self.whole, {image: self.twins[image]})
            return Placement({"aggregator": whole}, (image,))
        at = [name for each in computed for name in self.twins[each]]
        halves = cut(self.whole, at, aggregator_inputs=self.own)
        sent = (*computed, *([image] if halves.passthrough else []))
        tail = stacked(halves.tail, self.whole, {name: self.twins[name] for name in sent})
        return Placement({"sensor": computing(self.whole, computed), "aggregator": tail}, sent)


def require_join(halves: Halves, edges: Edges) -> None:
    """Raises ModelError: outputs of the model are computed ahead of the join, or an image is read behind it."""
    early = [name for name in edges.result_names if name in (*halves.tensors, *halves.results)]
    if early:
        raise ModelError(f"output {early[0]!r} is computed ahead of the join", "leave it out, or join ahead of it")
    if halves.passthrough:
        raise ModelError(f"input {halves.passthrough[0]!r} is read behind the join", "join where all is a view's own")
