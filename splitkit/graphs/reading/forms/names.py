"""Operators and attributes that have other names, defaults or meanings now."""

from dataclasses import replace

import numpy as np

from splitkit.graphs.reading.forms.known import Known
from splitkit.graphs.reading.graph import Node

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


def scaled_rois(node: Node, opset: int, known: Known) -> list[Node] | None:
    """Regions scaled ahead of RoiAlign: half a pixel is taken off what is scaled, TVM takes it off before."""
    mode, scale = node.attrs.get("coordinate_transformation_mode", b"half_pixel"), node.attrs.get("spatial_scale", 1.0)
    if mode != b"half_pixel" or scale == 1.0:
        return None
    rois, scaled = node.inputs[1], known.fresh(f"{node.output}.rois")
    factor = known.add(f"{node.output}.scale", np.array(scale, known.type(rois).dtype))
    return [
        Node("Mul", scaled, (rois, factor), (scaled,)),
        replace(
            node,
            inputs=(node.inputs[0], scaled, *node.inputs[2:]),
            attrs=dict(node.attrs) | {"spatial_scale": 1.0},
        ),
    ]


def scatter(node: Node, opset: int, known: Known) -> list[Node] | None:
    """Scatter is ScatterElements since opset 11."""
    return [replace(node, op="ScatterElements")]
