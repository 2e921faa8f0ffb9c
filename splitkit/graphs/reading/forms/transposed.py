"""Transposed convolutions as convolutions.

Where windows do not overlap (a kernel as large as the stride) every output pixel comes from one input pixel, so that
the operator is a product per pixel and a rearrangement of channels (Shi et al., "Real-Time Single Image and Video
Super-Resolution", CVPR 2016, in the other direction). Elsewhere it is the convolution of the image, its pixels moved
apart by zeros, with the mirrored kernel.
"""

from collections.abc import Callable
from math import prod

import numpy as np

from splitkit.graphs.reading.forms.known import Known, ints, refuse
from splitkit.graphs.reading.graph import Node


def without_overlap(node: Node, opset: int, known: Known) -> list[Node] | None:
    """A pointwise convolution whose channels become the pixels of each window."""
    weight, given, attrs = known.constant(node.inputs[1]), known.type(node.inputs[0]), node.attrs
    bias = known.constant(node.inputs[2]) if len(node.inputs) > 2 else None
    if weight is None or weight.ndim != 4 or given.dtype != "float32" or (bias is None and len(node.inputs) > 2):
        return None
    plain = attrs.get("group", 1) == 1 and not any([*attrs.get("pads", []), *attrs.get("output_padding", [])])
    (n, _, h, w), (inputs, outputs, kh, kw) = given.shape, weight.shape
    dilated = any(d != 1 and k != 1 for d, k in zip(attrs.get("dilations", (1, 1)), (kh, kw), strict=True))
    if not plain or dilated or tuple(attrs.get("strides", (1, 1))) != (kh, kw) or kh * kw == 1:
        return None
    name = node.output
    turned = np.ascontiguousarray(weight.reshape(inputs, -1).T[:, :, None, None])
    operands = [node.inputs[0], known.add(f"{name}.weight", turned)]
    if bias is not None:
        operands.append(known.add(f"{name}.bias", np.repeat(bias, kh * kw)))
    product, windows, places = (known.fresh(f"{name}.{part}") for part in ("product", "windows", "places"))
    apart = ints(known, f"{windows}.shape", (n, outputs, kh, kw, h, w))
    whole = ints(known, f"{name}.shape", (n, outputs, h * kh, w * kw))
    return [
        Node("Conv", node.name, tuple(operands), (product,), {"kernel_shape": [1, 1]}),
        Node("Reshape", windows, (product, apart), (windows,)),
        Node("Transpose", places, (windows,), (places,), {"perm": [0, 1, 4, 2, 5, 3]}),
        Node("Reshape", f"{name}.image", (places, whole), (name,)),
    ]


def as_convolution(node: Node, opset: int, known: Known) -> list[Node]:
    """The image with zeros between its pixels, convolved with the mirrored kernel."""
    attrs, name = node.attrs, node.output
    (n, c, *size), (_, outputs, *kernel) = (known.type(i).shape for i in node.inputs[:2])
    axes, groups = len(size), attrs.get("group", 1)
    if c % groups:
        raise refuse(node, f"{c} channels do not split into {groups} groups")
    stride, dilation = attrs.get("strides", [1] * axes), attrs.get("dilations", [1] * axes)
    pads, extra = attrs.get("pads", [0] * 2 * axes), attrs.get("output_padding", [0] * axes)
    reach = [dilation[i] * (kernel[i] - 1) for i in range(axes)]
    before = [reach[i] - pads[i] for i in range(axes)]
    after = [reach[i] - pads[axes + i] + extra[i] for i in range(axes)]
    nodes: list[Node] = []

    def add(op: str, inputs: tuple[str, ...], part: str, **attributes: object) -> str:
        output = known.fresh(f"{name}.{part}")
        nodes.append(Node(op, f"{node.name}/{part}", inputs, (output,), attributes))
        return output

    x = node.inputs[0]
    if prod(stride) > 1:
        shape = [n, c, *(d for extent in size for d in (extent, 1))]
        zeros = [0, 0, *(z for step in stride for z in (0, step - 1))]
        apart = add("Reshape", (x, ints(known, f"{name}.apart", shape)), "columns")
        spread = add("Pad", (apart, ints(known, f"{name}.zeros", [0] * len(zeros) + zeros)), "spread")
        whole = [n, c, *(extent * step for extent, step in zip(size, stride, strict=True))]
        x = add("Reshape", (spread, ints(known, f"{name}.whole", whole)), "image")
        after = [after[i] - (stride[i] - 1) for i in range(axes)]  # zeros behind the last pixel are there already
    if min(*before, *after) < 0:
        cut = [0, 0, *(min(b, 0) for b in before), 0, 0, *(min(a, 0) for a in after)]
        x = add("Pad", (x, ints(known, f"{name}.cut", cut)), "cropped")
    padding = [max(p, 0) for p in (*before, *after)]
    weight = _mirrored(node, known, (groups, c // groups, outputs, *kernel), add)
    body = Node(
        "Conv", node.name, (x, weight, *node.inputs[2:]), node.outputs,
        {"kernel_shape": kernel, "pads": padding, "dilations": list(dilation), "group": groups},
    )  # fmt: skip
    return [*nodes, body]


def _mirrored(node: Node, known: Known, shape: tuple[int, ...], add: Callable[..., str]) -> str:
    """The weight as a convolution wants it: inputs and outputs of each group exchanged, every axis backwards."""
    groups, inputs, outputs, *kernel = shape
    axes, name = list(range(2, 2 + len(kernel))), node.output
    ends = [np.iinfo(np.int64).min] * len(axes)
    bounds = {"starts": [-1] * len(axes), "ends": ends, "axes": axes, "steps": [-1] * len(axes)}
    flipped = add("Slice", (node.inputs[1], *(ints(known, f"{name}.{n}", v) for n, v in bounds.items())), "mirrored")
    grouped = add("Reshape", (flipped, ints(known, f"{name}.groups", shape)), "groups")
    turned = add("Transpose", (grouped,), "turned", perm=[0, 2, 1, *range(3, 3 + len(kernel))])
    whole = ints(known, f"{name}.kernels", (groups * outputs, inputs, *kernel))
    return add("Reshape", (turned, whole), "kernels")
