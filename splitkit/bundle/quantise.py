"""Both halves of a network in integers: quantised on real images, and what they then compute as a whole.

What a quantised network computes is defined by its halves (docs/int8.md), so that they are their own reference: ONNX
Runtime runs their graphs as they stand, and every compiled half is held against that.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from splitkit.bundle.verify import Reference
from splitkit.graphs.calibrate import quantise
from splitkit.graphs.session import Arrays, Session
from splitkit.sides import Side

Halves = Mapping[Side, onnx.ModelProto]


def quantised_halves(models: Halves, reference: Reference, sides: Collection[Side]) -> tuple[Halves, Reference]:
    """The halves, those of `sides` in int8, and what they make of the reference's images.

    Ranges are those that lose least of each tensor on the reference's images (`graphs.calibrate`).

    Args:
        models: in float32, as `graphs.export.export_half` makes them.
        reference: what the float network computes, link tensors included.

    Raises:
        ModelError: a half cannot be quantised, or ONNX Runtime cannot run it.
    """
    if not set(sides) & set(models):
        return models, reference
    changed = dict(models)
    for side in set(sides) & set(models):
        frames = _sensor_frames(models[side], reference) if side == "sensor" else _frames(models[side], reference)
        changed[side] = quantise(models[side], frames)
    links, scores = run_halves(changed, reference.images, reference.links, reference.masks)
    return changed, replace(reference, links=links, scores=scores, runtime="onnxruntime", quantised=True)


def run_halves(
    models: Halves, images: NDArray[Any], links: Sequence[NDArray[Any]], masks: Sequence[NDArray[Any]] = ()
) -> tuple[tuple[NDArray[Any], ...], NDArray[Any]]:
    """Link tensors, each (frames, views, ...), and scores (frames, classes) in ONNX Runtime.

    Args:
        images: (frames, views, ...).
        links: what crosses where the sensor computes nothing.
        masks: of each frame, where the aggregator takes one.
    """
    sent = tuple(links)
    if "sensor" in models:
        session, name = Session(models["sensor"]), models["sensor"].graph.input[0].name
        output = models["sensor"].graph.output[0].name
        made = [np.concatenate([session({name: view[None]})[output] for view in frame]) for frame in images]
        sent = (np.stack(made), *links[1:])
    if "aggregator" not in models:
        return sent, np.asarray(sent[0][:, 0])
    session = Session(models["aggregator"])
    output = models["aggregator"].graph.output[0].name
    frames = _frames_of(models["aggregator"], (*sent, *masks))
    return sent, np.concatenate([session(frame)[output] for frame in frames])


def _sensor_frames(model: onnx.ModelProto, reference: Reference) -> list[Arrays]:
    name = model.graph.input[0].name
    return [{name: view[None]} for frame in reference.images for view in frame]


def _frames(model: onnx.ModelProto, reference: Reference) -> list[Arrays]:
    return _frames_of(model, (*reference.links, *reference.masks))


def _frames_of(model: onnx.ModelProto, arrays: Sequence[NDArray[Any]]) -> list[Arrays]:
    """Inputs of an aggregator, frame by frame."""
    constants = {tensor.name for tensor in model.graph.initializer}
    names = [value.name for value in model.graph.input if value.name not in constants]
    return [dict(zip(names, map(np.ascontiguousarray, frame), strict=True)) for frame in zip(*arrays, strict=True)]
