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
from splitkit.graphs.edges import MOST_AXES, Edges, input_names
from splitkit.graphs.placement import placed
from splitkit.graphs.quantisation import stated_quantisation
from splitkit.graphs.shapes import tensor_dtype, tensor_shape, value_infos
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
    require_place(Path(directory), sign_key)
    image, _ = image_and_scores(model)
    halves = placed(model, origin.cut, Edges.of(model))
    quantisation = stated_quantisation(model)
    links = []
    for tensor in _tensors(model, halves.crossing):
        scale, zero_point = quantisation.get(tensor.name, (1.0, 0)) if tensor.dtype == "uint8" else (1.0, 0)
        links.append(LinkRecord.sending(tensor, scale=scale, zero_point=zero_point))
    progress("running the model")
    draft = Draft(
        origin=origin,
        models=halves.models,
        reference=reference_of_onnx(model, halves.crossing, inputs),
        image=image,
        links=tuple(links),
        classes=tuple(classes),
        pixels=pixels,
        predicted=predicted or {},
    )
    return build_bundle(draft, system, Path(directory), sign_key, progress)


def reference_of_onnx(model: onnx.ModelProto, tensors: Sequence[str], inputs: NDArray[Any]) -> Reference:
    """What the uncut model computes of `inputs`, (frames, *input shape), in ONNX Runtime, those tensors included.

    Raises:
        ModelError: ONNX Runtime cannot run it, a tensor has no static shape, or `inputs` are of another shape or dtype.
    """
    image, scores = image_and_scores(model)
    if inputs.ndim != 1 + len(image.shape) or inputs.shape[1:] != image.shape or str(inputs.dtype) != image.dtype:
        raise ModelError(
            f"inputs are {inputs.dtype} {list(inputs.shape)}",
            f"the model takes {image.dtype} [frames, {', '.join(map(str, image.shape))}]",
        )
    computed = [name for name in tensors if name != image.name]
    exporter = get_exporter(REFERENCE_RUNTIME)
    with tempfile.TemporaryDirectory() as scratch:
        artifact = exporter.compile(_with_outputs(model, computed), CompileTarget(), Path(scratch) / "whole")
        session = exporter.load(artifact)
        frames = [session.run({image.name: frame}) for frame in np.ascontiguousarray(inputs)]
    found = {name: np.stack([frame[name] for frame in frames]) for name in (*computed, scores.name)}
    links = tuple(inputs if name == image.name else found[name] for name in tensors)
    return Reference(inputs, links, found[scores.name][:, 0], "onnxruntime")


def image_and_scores(model: onnx.ModelProto) -> tuple[TensorSpec, TensorSpec]:
    """Input and output of a model of which a bundle can be made.

    Raises:
        ModelError: it has several of one, or one of another kind than a sensor's image and an aggregator's scores.
    """
    for role, names in (("input", input_names(model)), ("output", [value.name for value in model.graph.output])):
        if len(names) != 1:
            raise ModelError(
                f"the model has {len(names)} {role}s ({', '.join(map(repr, names))}), a bundle has one",
                "leave the others out, or write the halves as ONNX: splitkit cut",
            )
    edges = Edges.of(model)
    for role, tensor in (("input", edges.captured[0]), ("output", edges.results[0])):
        if not tensor.shape or tensor.shape[0] != 1:
            shape = list(tensor.shape)
            raise ModelError(f"{role} {tensor.name!r} has shape {shape}", "in a bundle it must begin with 1, the batch")
    [image], [scores] = edges.captured, _tensors(model, edges.result_names)
    if scores.dtype != "float32":
        raise ModelError(f"output {scores.name!r} is {scores.dtype}", "leave out what makes classes of the scores")
    return image, scores


def _tensors(model: onnx.ModelProto, names: Sequence[str]) -> list[TensorSpec]:
    """Tensors of a model that may lie at the edge of a half."""
    values = value_infos(model)
    found = []
    for name in names:
        if name not in values:
            raise ModelError(f"the type of tensor {name!r} is not known, even after shape inference")
        tensor = TensorSpec(name, tensor_shape(values[name]), tensor_dtype(values[name]))
        if tensor.dtype not in get_args(Dtype):
            raise ModelError(f"tensor {name!r} is {tensor.dtype}", f"it must be {' or '.join(get_args(Dtype))}")
        if not 1 <= len(tensor.shape) <= MOST_AXES or min(tensor.shape) < 1:
            raise ModelError(f"tensor {name!r} has shape {list(tensor.shape)}", f"1 to {MOST_AXES} extents can be sent")
        found.append(tensor)
    return found


def _with_outputs(model: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    """The model with these tensors as outputs as well."""
    whole = onnx.ModelProto()
    whole.CopyFrom(model)
    values, outputs = value_infos(model), {value.name for value in model.graph.output}
    whole.graph.output.extend(values[name] for name in names if name not in outputs)
    return whole
