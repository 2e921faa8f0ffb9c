"""Operators and attributes that have other names or defaults now."""

from dataclasses import replace

from splitkit.compiler.graph import Node
from splitkit.compiler.reading.forms.known import Known

_GRID_MODES = {b"bilinear": b"linear", b"bicubic": b"cubic"}


def grid_modes(node: Node, opset: int, known: Known) -> list[Node] | None:
    """Modes of GridSample lost their `bi` at opset 20."""
    mode = node.attrs.get("mode", b"linear" if opset >= 20 else b"bilinear")
    if mode not in _GRID_MODES:
        return None
    return [replace(node, attrs=dict(node.attrs) | {"mode": _GRID_MODES[mode]})]


def roi_coordinates(node: Node, opset: int, known: Known) -> list[Node] | None:
    """Regions of interest were not shifted by half a pixel before opset 16."""
    if opset >= 16:
        return None
    return [replace(node, attrs=dict(node.attrs) | {"coordinate_transformation_mode": b"output_half_pixel"})]


def scatter(node: Node, opset: int, known: Known) -> list[Node] | None:
    """Scatter is ScatterElements since opset 11."""
    return [replace(node, op="ScatterElements")]
