"""Transposed convolutions whose windows do not overlap, as a pointwise convolution and a rearrangement of its channels.

With a kernel as large as the stride every output pixel comes from one input pixel, so that the operator is a product
per pixel (Shi et al., "Real-Time Single Image and Video Super-Resolution", CVPR 2016, in the other direction). TVM's
default lowering multiplies with the zeros in between, at a cost of two orders of magnitude.
"""

from math import prod

import numpy as np

from splitkit.compiler.graph import Graph, Node, Type


def without_overlap(graph: Graph) -> Graph:
    """The same function with such operators replaced; others stay as they are."""
    nodes: list[Node] = []
    types, constants = dict(graph.types), dict(graph.constants)
    for node in graph.nodes:
        if not _applies(node, graph):
            nodes.append(node)
            continue
        weight = constants[node.inputs[1]]
        (n, _, h, w), (inputs, outputs, kh, kw) = types[node.inputs[0]].shape, weight.shape
        name = node.output
        constants[f"{name}.weight"] = np.ascontiguousarray(weight.reshape(inputs, -1).T[:, :, None, None])
        operands = [node.inputs[0], f"{name}.weight"]
        if len(node.inputs) > 2 and node.inputs[2]:
            constants[f"{name}.bias"] = np.repeat(constants[node.inputs[2]], kh * kw)
            operands.append(f"{name}.bias")
        shapes = {
            f"{name}.product": (n, outputs * kh * kw, h, w),
            f"{name}.windows": (n, outputs, kh, kw, h, w),
            f"{name}.places": (n, outputs, h, kh, w, kw),
            name: (n, outputs, h * kh, w * kw),
        }
        types |= {tensor: Type(shape, "float32") for tensor, shape in shapes.items()}
        for tensor in (f"{name}.windows", name):
            constants[f"{tensor}.shape"] = np.array(shapes[tensor], np.int64)
        product, windows, places, _ = shapes
        nodes += [
            Node("Conv", node.name, tuple(operands), (product,), {"kernel_shape": [1, 1]}),
            Node("Reshape", windows, (product, f"{windows}.shape"), (windows,)),
            Node("Transpose", places, (windows,), (places,), {"perm": [0, 1, 4, 2, 5, 3]}),
            Node("Reshape", f"{name}.image", (places, f"{name}.shape"), (name,)),
        ]
    if len(nodes) == len(graph.nodes):
        return graph
    return Graph(graph.inputs, graph.outputs, (), types, {}, graph.opsets).with_nodes(nodes, constants)


def _applies(node: Node, graph: Graph) -> bool:
    if node.op != "ConvTranspose" or any(name and name not in graph.constants for name in node.inputs[1:]):
        return False
    weight, given, attrs = graph.constants[node.inputs[1]], graph.types[node.inputs[0]], node.attrs
    if weight.ndim != 4 or given.dtype != "float32" or attrs.get("group", 1) != 1:
        return False
    kernel = weight.shape[2:]
    whole = (*given.shape[:1], weight.shape[1], given.shape[2] * kernel[0], given.shape[3] * kernel[1])
    # The output's size says that nothing is padded, cropped or dilated; a stride of 1 in both axes needs no expansion.
    return (
        tuple(attrs.get("strides", (1, 1))) == kernel and prod(kernel) > 1 and graph.types[node.output].shape == whole
    )
