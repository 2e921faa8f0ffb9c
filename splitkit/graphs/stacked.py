"""Tensors of several views taken as one, all views one after the other."""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import helper, numpy_helper

from splitkit.graphs.edges import spec_of
from splitkit.graphs.shapes import value_infos

SIZES_ARE_AN_INPUT = 13
"""Opset from which `Split` takes sizes as an input."""


def stacked(model: onnx.ModelProto, whole: onnx.ModelProto, groups: Mapping[str, Sequence[str]]) -> onnx.ModelProto:
    """A copy of a model that takes each group of inputs as one, (views x first extent, ...), and splits it.

    Args:
        whole: what the model is a part of, which knows the types of all tensors.
        groups: by what the input is called after, the tensors of each view, alike in shape and dtype; some of them
            may be no inputs, and are not looked at then. The other inputs come behind these, as they were.
    """
    found, values = onnx.ModelProto(), value_infos(whole)
    found.CopyFrom(model)
    opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)
    graph, replaced = found.graph, {name for names in groups.values() for name in names}
    taken = {name for node in whole.graph.node for name in (*node.input, *node.output)} | values.keys()
    inputs, nodes = [], []
    for name, views in groups.items():
        first = spec_of(values[views[0]])
        together = _fresh(f"{name}_views", taken)
        shape = (len(views) * first.shape[0], *first.shape[1:])
        inputs.append(helper.make_tensor_value_info(together, values[views[0]].type.tensor_type.elem_type, shape))
        if opset < SIZES_ARE_AN_INPUT:
            nodes.append(helper.make_node("Split", [together], views, axis=0, split=[first.shape[0]] * len(views)))
            continue
        sizes = numpy_helper.from_array(np.full(len(views), first.shape[0], np.int64), _fresh(f"{name}_sizes", taken))
        graph.initializer.append(sizes)
        nodes.append(helper.make_node("Split", [together, sizes.name], views, axis=0))
    inputs += [value for value in model.graph.input if value.name not in replaced]
    nodes += model.graph.node
    del graph.input[:], graph.node[:]
    graph.input.extend(inputs)
    graph.node.extend(nodes)
    return found


def _fresh(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    taken.add(name)
    return name
