"""A model that takes all views as one batch, cut ahead of where they join: the branch is what it does with one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Self

import numpy as np
import onnx
from onnx import numpy_helper

from splitkit.errors import ModelError
from splitkit.graphs.constants import constant_value
from splitkit.graphs.cut import computing, cut
from splitkit.graphs.edges import Edges, inputs_of, spec_of
from splitkit.graphs.narrow import LinkDtype, narrowed
from splitkit.graphs.placement import Placement
from splitkit.graphs.shapes import value_infos
from splitkit.graphs.subject import Ranges
from splitkit.graphs.views import require_join
from splitkit.space.tensor import TensorSpec


@dataclass(frozen=True)
class BatchedViews:
    """Views that lie one after the other in the first axis of one input, up to the join.

    Attributes:
        whole, own: the model, and those of its inputs that are the aggregator's own.
        branch, edges: what it computes of one view, from the image to the join; tensors have the model's names.
    """

    whole: onnx.ModelProto = field(repr=False)
    branch: onnx.ModelProto = field(repr=False)
    edges: Edges
    own: tuple[str, ...]
    views: int

    @classmethod
    def of(cls, model: onnx.ModelProto, edges: Edges, join: Sequence[str]) -> Self:
        """The views in the first axis of a model's one captured input.

        Whether what is computed of one view alone is the same is for who calls this to find out.

        Args:
            edges: of the model.
            join: tensors up to which everything is a view's own; what else goes on to the aggregator joins them.

        Raises:
            ModelError: what is at the join is not a view's each, or depends on an input of the aggregator's; an output
                of the model is computed ahead of it, or the images are read behind it.
        """
        [images] = edges.captured
        halves = cut(model, join, aggregator_inputs=edges.own_names)
        require_join(halves, edges)
        branch = _of_one(computing(model, halves.tensors), images.shape[0])
        results = tuple(spec_of(value) for value in branch.graph.output)
        found = cls(model, branch, Edges(inputs_of(branch), (), results, final=False), edges.own_names, images.shape[0])
        for tensor in results:
            if not found.can_cross(tensor):
                many = list(found._shapes.get(tensor.name, ()))
                raise ModelError(
                    f"tensor {tensor.name!r} is {many} of {found.views} views, {list(tensor.shape)} of one",
                    "views are mixed ahead of the join: name an earlier one",
                )
        return found

    @cached_property
    def _shapes(self) -> dict[str, tuple[int, ...]]:
        """Of the whole's tensors, by name; an extent that is not known is 0."""
        return {
            name: tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
            for name, value in value_infos(self.whole).items()
        }

    def can_cross(self, tensor: TensorSpec) -> bool:
        return tensor.shape[:1] == (1,) and self._shapes.get(tensor.name) == (self.views, *tensor.shape[1:])

    def named(self, tensor: str) -> tuple[str, ...]:
        return (tensor,)

    def lightened(
        self, crossing: Sequence[str], dtype: LinkDtype, ranges: Ranges | None = None
    ) -> tuple[Self, Mapping[str, str]]:
        computed = [name for name in crossing if name not in self.edges.captured_names]
        if not computed:
            return self, {}
        found = narrowed(self.whole, computed, dtype, ranges)
        return replace(self, whole=found.model), found.sent

    def placed(self, crossing: Sequence[str]) -> Placement:
        [image] = self.edges.captured_names
        computed = [name for name in crossing if name != image]
        if not computed:
            return Placement({"aggregator": self.whole}, (image,))
        halves = cut(self.whole, computed, aggregator_inputs=self.own)
        sensor = _of_one(computing(self.whole, halves.tensors), self.views)
        return Placement({"sensor": sensor, "aggregator": halves.tail}, (*halves.tensors, *halves.passthrough))


def _of_one(model: onnx.ModelProto, views: int) -> onnx.ModelProto:
    """A part of a model that is done for each view by itself, as it is done for one.

    Shapes that `Reshape` is given as constants begin with 1 where they began with the number of views.
    """
    found = onnx.ModelProto()
    found.CopyFrom(model)
    graph = found.graph
    for value in graph.input:
        dims = value.type.tensor_type.shape.dim
        if dims and dims[0].dim_value == views:
            dims[0].dim_value = 1
    constants = {tensor.name: tensor for tensor in graph.initializer}
    constants |= {node.output[0]: value for node in graph.node if (value := constant_value(node)) is not None}
    varying = {value.name for value in graph.input}
    for node in graph.node:
        if varying.isdisjoint(node.input):
            continue
        varying.update(node.output)
        if node.op_type == "Reshape" and node.input[1] in constants:
            shape = numpy_helper.to_array(constants[node.input[1]])
            if shape.size and shape[0] == views:
                name = f"{node.output[0]}_shape_of_one"
                graph.initializer.append(numpy_helper.from_array(np.array([1, *shape[1:]], np.int64), name))
                node.input[1] = name
    del graph.value_info[:]
    for value in graph.output:
        value.type.tensor_type.ClearField("shape")
    return onnx.shape_inference.infer_shapes(found, data_prop=True)
