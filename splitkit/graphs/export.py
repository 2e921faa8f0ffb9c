"""Torch modules to ONNX: static shapes, opset 20, simplified, tensors named after the slots of the architecture."""

import logging
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy

import onnx
import onnxsim
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from splitkit.errors import ModelError
from splitkit.graphs.quantisation import state_quantisation
from splitkit.sides import Side
from splitkit.space.network import PlacedUnit, describe
from splitkit.space.units import PRESENT
from splitkit.supernet.subnetwork import SubNetwork

OPSET = 20

IMAGE, IMAGES, LINK, SCORES = "image", "images", "link", "scores"
"""Graph inputs and outputs of a sub-network's halves: a sensor sees one image, an aggregator all of them."""

_SCOPES = "pkg.torch.onnx.name_scopes"
_KEPT_APART = ["fuse_mul_into_conv", "fuse_preceding_mul_into_conv"]
"""Folding the link's scale into the neighbouring weights would move values across the border's rounding, and would
leave kernels that no other network has: the latency table could not know them."""

_ACTIVATIONS = {"Relu", "Clip", "HardSwish", "HardSigmoid", "Sigmoid"}
_WEIGHTED = {"Conv", "Gemm", "MatMul"}


def export_half(subnetwork: SubNetwork, side: Side) -> onnx.ModelProto | None:
    """One half as ONNX, preprocessing and the link's quantisation inside; None where that side computes nothing.

    The sensor's graph takes `image`, uint8 (1, channels, size, size), and gives `link`, or `scores` when nothing is
    left to do. The aggregator's takes `link` (views, ...), or `images`, uint8 (views, channels, size, size), when the
    sensors compute nothing, and gives `scores`, float32 (1, classes). In a masked space it takes `present` as well,
    float32 (views, 1, 1, 1). Batch norms are folded.

    Raises:
        ModelError: torch cannot export the module, or the exported graph is not valid.
    """
    folded = _exportable(subnetwork)
    network = describe(folded.space, folded.architecture)
    if side == "sensor":
        if folded.sensor is None:
            return None
        output = SCORES if folded.aggregator is None else LINK
        slots = _slots(folded.sensor, network.sensor)
        image = torch.zeros(network.image.shape, dtype=torch.uint8)
        return _with_link(export_module(folded.sensor, {IMAGE: image}, output, slots), subnetwork)
    if folded.aggregator is None:
        return None
    received = network.link
    example = torch.zeros((network.views, *received.shape[1:]), dtype=getattr(torch, received.dtype))
    slots = _slots(folded.aggregator, network.aggregator)
    taken = {LINK if network.sensor else IMAGES: example} | _mask(folded)
    model = export_module(folded.aggregator, taken, SCORES, slots)
    return _with_link(model, subnetwork)


def export_whole(subnetwork: SubNetwork) -> onnx.ModelProto:
    """Both halves as one graph: `images`, uint8 (views, channels, size, size) -> `scores`, float32 (1, classes).

    In a masked space it takes `present` as well.

    Where there is a link its tensor is called `link`: cutting there gives the two halves (the sensor's for all views
    at once).

    Raises:
        ModelError: torch cannot export the module, or the exported graph is not valid.
    """
    folded = _exportable(subnetwork)
    network = describe(folded.space, folded.architecture)
    sides = _Whole()
    slots: dict[str, str] = {}
    for name, side, chain in (
        ("sensor", folded.sensor, network.sensor),
        ("aggregator", folded.aggregator, network.aggregator),
    ):
        if side is not None:
            sides.add_module(name, side)
            slots |= {f"{name}.{path}": slot for path, slot in _slots(side, chain).items()}
    example = torch.zeros((network.views, *network.image.shape[1:]), dtype=torch.uint8)
    model = export_module(sides.eval(), {IMAGES: example} | _mask(folded), SCORES, slots)
    if network.sensor and network.aggregator:
        _rename(model, {_last_output(model, network.sensor[-1].slot): LINK})
    return model


class _Whole(nn.Module):
    """Sides in a row; the last one takes the mask, if there is one."""

    def forward(self, images: Tensor, *present: Tensor) -> Tensor:
        *others, last = self.children()
        for side in others:
            images = side(images)
        return last(images, *present)  # type: ignore[no-any-return]


def _mask(subnetwork: SubNetwork) -> dict[str, Tensor]:
    """An example of the mask, where the aggregator takes one."""
    masked = subnetwork.space.input.masked and subnetwork.aggregator is not None
    return {PRESENT: torch.ones(subnetwork.space.views, 1, 1, 1)} if masked else {}


def export_module(
    module: nn.Module, examples: Mapping[str, Tensor], output_name: str, slots: Mapping[str, str] | None = None
) -> onnx.ModelProto:
    """A module with one output as a checked, simplified ONNX graph of the shapes of its inputs' examples.

    `slots` maps submodule paths to the names their tensors begin with; submodules left out keep their path.

    Raises:
        ModelError: torch cannot export it, or the exported graph is not valid.
    """
    try:
        with _quiet(), torch.no_grad():
            program = torch.onnx.export(
                module.eval(),
                tuple(examples.values()),
                dynamo=True,
                input_names=list(examples),
                output_names=[output_name],
                opset_version=OPSET,
                verbose=False,
            )
    except Exception as error:
        raise ModelError(f"torch cannot export {type(module).__name__}: {str(error).splitlines()[0]}") from error
    assert program is not None
    model: onnx.ModelProto = program.model_proto
    _use_global_pools(model)
    name_tensors(model, slots or {})
    # Its own check is off: whoever exports a bundle proves the halves on real images.
    model = onnxsim.simplify(model, skipped_optimizers=_KEPT_APART)[0]
    model.graph.name = "splitkit"
    model.producer_name, model.producer_version = "splitkit", ""
    onnx.checker.check_model(model, full_check=True)
    return model


def name_tensors(model: onnx.ModelProto, slots: Mapping[str, str]) -> None:
    """Name nodes and tensors after where they stand, and drop torch's metadata (it holds paths of source files).

    A convolution gets its layer's name (`p0.stride.expand`), an activation what it acts on as well
    (`p0.stride.expand.hard_swish`), anything else its unit and kind (`p0.stride.add`).
    """
    names: dict[str, str] = {value.name: value.name for value in (*model.graph.input, *model.graph.output)}
    taken = set(names)
    for node in model.graph.node:
        scope = _scope(node, slots)
        kind = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", node.op_type).lower()
        source = names.get(node.input[0], "") if node.input else ""
        if node.op_type in _WEIGHTED:
            name = scope or kind
        elif node.op_type in _ACTIVATIONS and source:
            name = f"{source}.{kind}"
        else:
            name = f"{scope}.{kind}" if scope else kind
        node.name = _unique(name, taken)
        for i, output in enumerate(node.output):
            names.setdefault(output, node.name if i == 0 else _unique(f"{node.name}.{i}", taken))
        del node.metadata_props[:]
        node.doc_string = ""
    for tensor in model.graph.initializer:
        user = next((node for node in model.graph.node if tensor.name in node.input), None)
        if user is not None:
            names[tensor.name] = _unique(f"{user.name}.{_role(user, tensor.name)}", taken)
    _rename(model, names)
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output):
        del value.metadata_props[:]
    del model.graph.metadata_props[:]
    del model.metadata_props[:]


def _with_link(model: onnx.ModelProto, subnetwork: SubNetwork) -> onnx.ModelProto:
    """The same half with the meaning of the integers on its link, if there are any, written down."""
    values = (*model.graph.input, *model.graph.output)
    if subnetwork.quantisation is not None and any(value.name == LINK for value in values):
        scale, zero_point = subnetwork.quantisation.scale, subnetwork.quantisation.zero_point
        state_quantisation(model, LINK, float(scale), round(float(zero_point)))
    return model


def _exportable(subnetwork: SubNetwork) -> SubNetwork:
    """A copy with batch norms folded, in NCHW memory order: torch makes gathers of pooling over channels-last."""
    copy = deepcopy(subnetwork).eval() if subnetwork.folded else subnetwork.folded_copy()
    return copy.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload,no-any-return]


def _slots(side: nn.Module, chain: Sequence[PlacedUnit]) -> dict[str, str]:
    """Slots by the paths of a side's units, which stand in the same order."""
    return {path: placed.slot for (path, _), placed in zip(side.named_children(), chain, strict=True)}


def _use_global_pools(model: onnx.ModelProto) -> None:
    """Write a mean over height and width, torch's form of global average pooling, as GlobalAveragePool."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type != "ReduceMean" or len(node.input) != 2 or node.input[1] not in constants:
            continue
        axes = sorted(int(axis) for axis in numpy_helper.to_array(constants[node.input[1]]).flat)
        keeps = all(attribute.i for attribute in node.attribute if attribute.name == "keepdims")
        if keeps and axes in ([-2, -1], [2, 3]):
            node.op_type = "GlobalAveragePool"
            del node.input[1:]
            del node.attribute[:]
    used = {name for node in model.graph.node for name in node.input}
    for tensor in [tensor for tensor in model.graph.initializer if tensor.name not in used]:
        model.graph.initializer.remove(tensor)


def _scope(node: onnx.NodeProto, slots: Mapping[str, str]) -> str:
    """Where a node stands: its innermost module, with slots in place of module paths."""
    text = next((entry.value for entry in node.metadata_props if entry.key == _SCOPES), "")
    modules: list[str] = re.findall(r"'([^']*)'", text)[:-1]  # the last entry is the operator itself
    path = modules[-1] if modules else ""
    for module in sorted(slots, key=len, reverse=True):
        if path == module or path.startswith(f"{module}."):
            rest = path[len(module) + 1 :].rpartition(".")[2]  # `convs.expand` is the layer `expand`
            return f"{slots[module]}.{rest}" if rest else slots[module]
    return path


def _role(node: onnx.NodeProto, name: str) -> str:
    position = list(node.input).index(name)
    if node.op_type in _WEIGHTED:
        return ("input", "weight", "bias")[min(position, 2)]
    return f"constant{position}"


def _last_output(model: onnx.ModelProto, slot: str) -> str:
    names = [str(name) for node in model.graph.node for name in node.output if name.startswith(f"{slot}.")]
    if not names:
        raise ModelError(f"no tensor of {slot} is left in the exported graph")
    return names[-1]


def _unique(name: str, taken: set[str]) -> str:
    candidate, n = name, 1
    while candidate in taken:
        n += 1
        candidate = f"{name}_{n}"
    taken.add(candidate)
    return candidate


def _rename(model: onnx.ModelProto, names: Mapping[str, str]) -> None:
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output, *model.graph.initializer):
        value.name = names.get(value.name, value.name)


@contextmanager
def _quiet() -> Iterator[None]:
    """Torch's exporter warns of packages that are not needed and of its own deprecations."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
