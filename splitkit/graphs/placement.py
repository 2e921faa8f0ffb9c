"""A model shared by two sides, wherever it is cut: in the middle, or ahead of or behind everything."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnx

from splitkit.graphs.cut import cut
from splitkit.graphs.edges import Edges, input_names
from splitkit.graphs.order import needed_names
from splitkit.sides import Side


@dataclass(frozen=True)
class Placement:
    """Who computes what.

    Attributes:
        models: the halves that there are; a side that computes nothing has none.
        crossing: tensors that the sensor sends: what it computes, then inputs as they are.
    """

    models: Mapping[Side, onnx.ModelProto]
    crossing: tuple[str, ...]


def placed(model: onnx.ModelProto, at: Sequence[str], edges: Edges) -> Placement:
    """The halves of a model cut at these tensors.

    Args:
        at: captured inputs alone leave all to the aggregator, all outputs leave all to the sensor.
        edges: of the model.

    Raises:
        ModelError: it cannot be cut there.
    """
    if set(at) <= set(edges.captured_names):
        return Placement({"aggregator": _alone(model, edges)}, tuple(at))
    if set(at) >= set(edges.result_names):
        return Placement({"sensor": _alone(model, edges)}, tuple(at))
    halves = cut(model, [name for name in at if name not in edges.captured_names], aggregator_inputs=edges.own_names)
    return Placement({"sensor": halves.head, "aggregator": halves.tail}, halves.crossing)


def _alone(model: onnx.ModelProto, edges: Edges) -> onnx.ModelProto:
    """The model, or a copy without the inputs that no output depends on and what reads them: nobody sends these."""
    taken = {*edges.captured_names, *edges.own_names}
    unread = {name for name in input_names(model) if name not in taken}
    if not unread:
        return model
    found = onnx.ModelProto()
    found.CopyFrom(model)
    needed = needed_names(model.graph)
    nodes = [node for node in model.graph.node if not needed.isdisjoint(node.output)]
    inputs = [value for value in model.graph.input if value.name not in unread]
    del found.graph.node[:], found.graph.input[:]
    found.graph.node.extend(nodes)
    found.graph.input.extend(inputs)
    return found
