"""Padding that is left to `auto_pad`, as the numbers it stands for."""

from dataclasses import replace
from math import ceil

from splitkit.graphs.reading.forms.known import Known
from splitkit.graphs.reading.graph import Node


def explicit(node: Node, opset: int, known: Known) -> list[Node] | None:
    """Convolutions and pools with the attribute `pads` instead."""
    auto = node.attrs.get("auto_pad", b"NOTSET")
    if "auto_pad" not in node.attrs:
        return None
    attrs = {name: value for name, value in node.attrs.items() if name != "auto_pad"}
    if auto in (b"NOTSET", b"VALID"):
        return [replace(node, attrs={n: v for n, v in attrs.items() if auto == b"NOTSET" or n != "pads"})]
    size = known.type(node.inputs[0]).shape[2:]
    kernel = attrs.get("kernel_shape") or known.type(node.inputs[1]).shape[2:]
    stride, dilation = attrs.get("strides", [1] * len(size)), attrs.get("dilations", [1] * len(size))
    totals = [
        max((ceil(size[i] / stride[i]) - 1) * stride[i] + dilation[i] * (kernel[i] - 1) + 1 - size[i], 0)
        for i in range(len(size))
    ]
    attrs.pop("ceil_mode", None)  # the size is the input's over the stride, rounded up, whatever the windows
    return [replace(node, attrs=attrs | {"pads": halves(totals, auto)})]


def transposed(node: Node, opset: int, known: Known) -> list[Node] | None:
    """Transposed convolutions: neither `auto_pad` nor `output_shape`, which both ask for a size, but `pads`."""
    attrs = dict(node.attrs)
    auto, wanted = attrs.pop("auto_pad", b"NOTSET"), attrs.pop("output_shape", None)
    if wanted is None and "auto_pad" not in node.attrs:
        return None
    size, kernel = known.type(node.inputs[0]).shape[2:], known.type(node.inputs[1]).shape[2:]
    axes = range(len(size))
    stride, dilation = attrs.get("strides", [1] * len(size)), attrs.get("dilations", [1] * len(size))
    extra = attrs.get("output_padding", [0] * len(size))
    if auto in (b"SAME_UPPER", b"SAME_LOWER") and wanted is None:
        wanted = [size[i] * stride[i] for i in axes]
    if wanted is None:
        return [replace(node, attrs={n: v for n, v in attrs.items() if auto == b"NOTSET" or n != "pads"})]
    wanted = list(wanted)[-len(size) :]
    full = [stride[i] * (size[i] - 1) + extra[i] + dilation[i] * (kernel[i] - 1) + 1 for i in axes]
    totals = [full[i] - wanted[i] for i in axes]
    # ONNX gives the odd pixel to the beginning, except for SAME_UPPER.
    pads = halves(totals, b"SAME_UPPER" if auto == b"SAME_UPPER" else b"SAME_LOWER")
    return [replace(node, attrs=attrs | {"pads": pads})]


def halves(totals: list[int], auto: bytes) -> list[int]:
    """Pads of both ends: where a total is odd the end gets one more (SAME_UPPER), or the beginning does."""
    ends = [(total // 2, total - total // 2) for total in totals]
    upper = auto == b"SAME_UPPER"
    return [a if upper else b for a, b in ends] + [b if upper else a for a, b in ends]
