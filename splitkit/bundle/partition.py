"""From a model that somebody else made, and where to cut it, to a bundle on disk."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import onnx
from numpy.typing import NDArray

from splitkit.bundle import Bundle, LinkRecord, Partitioned
from splitkit.bundle.build import REFERENCE_RUNTIME, Draft, Progress, build_bundle, require_place
from splitkit.bundle.manifest import Dtype
from splitkit.bundle.verify import Reference
from splitkit.compiler.target import CompileTarget
from splitkit.errors import ModelError
from splitkit.exporters.registry import get_exporter
from splitkit.graphs.edges import MOST_AXES, Edges, input_names, spec_of
from splitkit.graphs.placement import Placement
from splitkit.graphs.quantisation import stated_quantisation
from splitkit.graphs.shapes import value_infos
from splitkit.graphs.subject import OneView, Subject
from splitkit.profiles.schema import System
from splitkit.space.tensor import TensorSpec


def export_partition(
    model: onnx.ModelProto,
    origin: Partitioned,
    system: System,
    inputs: NDArray[Any],
    directory: str | Path,
    *,
    classes: Sequence[str] = (),
    pixels: str = "as the model takes them",
    predicted: Mapping[str, float] | None = None,
    sign_key: Path | None = None,
    progress: Progress = lambda step: None,
) -> Bundle:
    """Cut a model at `origin.cut`, compile both halves for the system's devices, prove them against the model, write.

    A cut at the model's input leaves all to the aggregator, one at its output all to the sensor.
    `examples/partition.py` shows it from end to end; in short:

        origin = sk.Partitioned.of("theirs.onnx", "feature")
        bundle = sk.export_partition(onnx.load("theirs.onnx"), origin, sk.load_system("demo"), images, "bundle")

    Args:
        model: one input and one output, with static shapes that begin with 1, the input uint8, float16 or float32, the
            output float32. It is what `origin` names, or what was made of that; `origin.cut` are tensors of this one.
        inputs: real ones, (frames, *input shape) in the input's dtype; a few hundred make the proof meaningful.
        classes, pixels, predicted, sign_key, progress: as for `splitkit.bundle.export.export_bundle`.

    Raises:
        BundleError, ConfigError, DeviceError: as for `export_bundle`.
        ModelError: the model is another kind than that, cannot be cut there or compiled, or something crosses that is
            neither uint8 nor float16 nor float32; or `inputs` are of another shape or dtype.
        VerificationError: a half computes something else than the model, or the model tells too little of `inputs`.
    """
    subject = OneView(model, Edges.of(model))
    return export_subject(
        subject, origin, system, inputs, directory,
        classes=classes, pixels=pixels, predicted=predicted, sign_key=sign_key, progress=progress,
    )  # fmt: skip


def export_subject(
    subject: Subject,
    origin: Partitioned,
    system: System,
    inputs: NDArray[Any],
    directory: str | Path,
    *,
    classes: Sequence[str] = (),
    pixels: str = "as the model takes them",
    predicted: Mapping[str, float] | None = None,
    sign_key: Path | None = None,
    progress: Progress = lambda step: None,
) -> Bundle:
    """`export_partition` of a model of any number of views, which go through `origin.cut` of its branch.

    Args:
        inputs: real ones, (frames, views, *shape of a view without the 1 that it begins with).

    Raises:
        BundleError, ConfigError, DeviceError, ModelError, VerificationError: as `export_partition`.
    """
    require_place(Path(directory), sign_key)
    image, _ = image_and_scores(subject)
    halves = subject.placed(origin.cut)
    quantisation = stated_quantisation(subject.whole)
    links = []
    for tensor in _sent(halves, image):
        scale, zero_point = quantisation.get(tensor.name, (1.0, 0)) if tensor.dtype == "uint8" else (1.0, 0)
        links.append(LinkRecord.sending(tensor, scale=scale, zero_point=zero_point))
    progress("running the model")
    draft = Draft(
        origin=origin,
        models=halves.models,
        reference=reference_of_onnx(subject, halves.crossing, inputs),
        image=image,
        links=tuple(links),
        classes=tuple(classes),
        pixels=pixels,
        predicted=predicted or {},
    )
    return build_bundle(draft, system, Path(directory), sign_key, progress)


def reference_of_onnx(subject: Subject, tensors: Sequence[str], inputs: NDArray[Any]) -> Reference:
    """What the uncut model computes of `inputs` in ONNX Runtime, those tensors of its branch included.

    Args:
        inputs: (frames, views, *shape of a view without the 1 that it begins with).

    Raises:
        ModelError: ONNX Runtime cannot run it, a tensor has no static shape, or `inputs` are of another shape or dtype.
    """
    image, scores = image_and_scores(subject)
    shape = (subject.views, *image.shape[1:])
    if inputs.shape[1:] != shape or str(inputs.dtype) != image.dtype:
        raise ModelError(
            f"inputs are {inputs.dtype} {list(inputs.shape)}",
            f"the model takes {image.dtype} [frames, {', '.join(map(str, shape))}]",
        )
    named = {name: subject.named(name) for name in tensors if name != image.name}
    whole = _with_outputs(subject.whole, [name for names in named.values() for name in names])
    images, exporter = subject.named(image.name), get_exporter(REFERENCE_RUNTIME)
    with tempfile.TemporaryDirectory() as scratch:
        artifact = exporter.compile(whole, CompileTarget(), Path(scratch) / "whole")
        session = exporter.load(artifact)
        given = [dict(zip(images, np.split(frame, len(images)), strict=True)) for frame in np.ascontiguousarray(inputs)]
        frames = [session.run(each) for each in given]
    found = {
        name: np.stack([np.concatenate([frame[each] for each in names]) for frame in frames])
        for name, names in named.items()
    }
    links = tuple(inputs if name == image.name else found[name] for name in tensors)
    return Reference(inputs, links, np.concatenate([frame[scores.name] for frame in frames]), "onnxruntime")


def image_and_scores(subject: Subject) -> tuple[TensorSpec, TensorSpec]:
    """What a sensor captures and what the whole gives, where a bundle can be made of it.

    Raises:
        ModelError: it has several of one, or one of another kind than a sensor's image and an aggregator's scores.
    """
    image, outputs = subject.edges.captured[0], Edges.of(subject.whole, subject.own).results
    others = [name for name in input_names(subject.whole) if name not in subject.named(image.name)]
    inputs = [image.name, *others]
    for role, names in (("input", inputs), ("output", [tensor.name for tensor in outputs])):
        if len(names) != 1:
            a_view = " of each view" if subject.views > 1 and role == "input" else ""
            raise ModelError(
                f"the model has {len(names)} {role}s ({', '.join(map(repr, names))}), a bundle has one{a_view}",
                "leave the others out, or write the halves as ONNX: splitkit cut",
            )
    [scores] = outputs
    for role, tensor in (("input", image), ("output", scores)):
        if not tensor.shape or tensor.shape[0] != 1:
            shape = list(tensor.shape)
            raise ModelError(f"{role} {tensor.name!r} has shape {shape}", "in a bundle it must begin with 1, the batch")
    if scores.dtype != "float32":
        raise ModelError(f"output {scores.name!r} is {scores.dtype}", "leave out what makes classes of the scores")
    _require_sendable(scores)
    return image, scores


def _sent(halves: Placement, image: TensorSpec) -> list[TensorSpec]:
    """What crosses, as one sensor has it."""
    model = halves.models.get("sensor")
    found = {image.name: image}
    if model is not None:
        values = value_infos(model)
        found |= {value.name: spec_of(values[value.name]) for value in model.graph.output}
    for name in halves.crossing:
        _require_sendable(found[name])
    return [found[name] for name in halves.crossing]


def _require_sendable(tensor: TensorSpec) -> None:
    """Raises ModelError: a tensor cannot lie at the edge of a half."""
    if tensor.dtype not in get_args(Dtype):
        raise ModelError(f"tensor {tensor.name!r} is {tensor.dtype}", f"it must be {' or '.join(get_args(Dtype))}")
    if not 1 <= len(tensor.shape) <= MOST_AXES or min(tensor.shape) < 1:
        raise ModelError(
            f"tensor {tensor.name!r} has shape {list(tensor.shape)}", f"1 to {MOST_AXES} extents can be sent"
        )


def _with_outputs(model: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    """The model with these tensors as outputs as well."""
    whole = onnx.ModelProto()
    whole.CopyFrom(model)
    values, outputs = value_infos(model), {value.name for value in model.graph.output}
    whole.graph.output.extend(values[name] for name in names if name not in outputs)
    return whole
