"""Reading attributes of ONNX operators."""

from collections.abc import Sequence


def pair(value: Sequence[int]) -> tuple[int, int]:
    """Two numbers of an attribute."""
    return int(value[0]), int(value[1])


def quad(value: Sequence[int]) -> tuple[int, int, int, int]:
    """Four numbers of an attribute."""
    return int(value[0]), int(value[1]), int(value[2]), int(value[3])
