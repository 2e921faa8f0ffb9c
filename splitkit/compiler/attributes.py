"""Reading attributes of ONNX operators."""

from collections.abc import Sequence
from math import ceil


def pair(value: Sequence[int]) -> tuple[int, int]:
    """Two numbers of an attribute."""
    return int(value[0]), int(value[1])


def quad(value: Sequence[int]) -> tuple[int, int, int, int]:
    """Four numbers of an attribute."""
    return int(value[0]), int(value[1]), int(value[2]), int(value[3])


def explicit_padding(
    attrs: object, size: tuple[int, int], kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int]
) -> tuple[int, int, int, int]:
    """Explicit padding of a convolution, whatever `auto_pad` says."""
    assert isinstance(attrs, dict)
    auto = attrs.get("auto_pad", b"NOTSET")
    if auto == b"NOTSET":
        return quad(attrs.get("pads", (0, 0, 0, 0)))
    if auto == b"VALID":
        return 0, 0, 0, 0
    begin, end = [], []
    for i in (0, 1):
        total = max((ceil(size[i] / stride[i]) - 1) * stride[i] + dilation[i] * (kernel[i] - 1) + 1 - size[i], 0)
        small = total // 2
        first, last = (small, total - small) if auto == b"SAME_UPPER" else (total - small, small)
        begin.append(first)
        end.append(last)
    return begin[0], begin[1], end[0], end[1]
