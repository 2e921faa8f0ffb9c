"""Weights taken over from another supernet, of the same space or a larger one."""

import torch
from torch import Tensor

from splitkit.errors import CheckpointError
from splitkit.sides import SIDES
from splitkit.supernet.elastic import ElasticConv, ElasticLinear, first_inputs, smaller_window
from splitkit.supernet.supernet import ElasticUnit, Supernet

CLASSIFIER = "scores"
"""Layer of the head whose outputs are classes: between data sets of different classes it is begun afresh."""


@torch.no_grad()
def inherit(supernet: Supernet, source: Supernet) -> list[str]:
    """Fill a supernet with the share of `source`'s weights that its own space has.

    Channels are taken from the front, as every sub-network does; a largest window that is smaller than the source's is
    made as a sub-network of the source would make it.

    Returns:
        Names of the layers that keep the weights they had: the classifier where the classes are other ones.

    Raises:
        CheckpointError: a layer of the source is missing or smaller, which is named. Nothing has been changed then.
    """
    pairs = []
    for side in SIDES:
        for key, unit in supernet.side(side).units.named_children():
            assert isinstance(unit, ElasticUnit)
            if key not in source.side(side).units:
                raise CheckpointError(f"{side}.{key}: the other supernet has no such unit")
            pairs += _pairs(f"{side}.{key}", unit, source.side(side).unit(key))
    kept = [where for where, own, other in pairs if _is_other_classifier(where, own, other)]
    wanted = [(where, own, other) for where, own, other in pairs if where not in kept]
    for where, own, other in wanted:
        _check(where, own, other)
    for _, own, other in wanted:
        if isinstance(own, ElasticConv) and isinstance(other, ElasticConv):
            _take_conv(own, other)
        elif isinstance(own, ElasticLinear):
            outputs, inputs = own.weight.shape
            own.weight.copy_(other.weight[:outputs, :inputs])
            own.bias.copy_(other.bias[:outputs])
    return kept


Layer = ElasticConv | ElasticLinear


def _pairs(where: str, own: ElasticUnit, other: ElasticUnit) -> list[tuple[str, Layer, Layer]]:
    pairs: list[tuple[str, Layer, Layer]] = []
    for kind, layers in (("conv", own.convs), ("linear", own.linears)):
        theirs = getattr(other, f"{kind}s")
        for name in layers:
            if name not in theirs:
                raise CheckpointError(f"{where}.{name}: the other supernet has no such layer")
            pairs.append((f"{where}.{name}", getattr(own, kind)(name), getattr(other, kind)(name)))
    return pairs


def _is_other_classifier(where: str, own: Layer, other: Layer) -> bool:
    return where.endswith(f".{CLASSIFIER}") and own.weight.shape[0] != other.weight.shape[0]


def _check(where: str, own: Layer, other: Layer) -> None:
    if isinstance(own, ElasticConv) and isinstance(other, ElasticConv):
        mine, theirs = own.extent, other.extent
        if mine.depthwise != theirs.depthwise or mine.stacked != theirs.stacked:
            raise CheckpointError(f"{where}: the other supernet's is of another kind, or for other views")
        missing = sorted(set(mine.kernels) - set(theirs.kernels))
        if missing:
            raise CheckpointError(f"{where}: windows of {missing}, the other supernet has {list(theirs.kernels)}")
    sizes = zip(own.weight.shape[:2], other.weight.shape[:2], strict=True)
    for what, (mine_size, their_size) in zip(("outputs", "inputs"), sizes, strict=True):
        if mine_size > their_size:
            raise CheckpointError(f"{where}: {mine_size} {what}, the other supernet has {their_size}")


def _take_conv(own: ElasticConv, other: ElasticConv) -> None:
    outputs, inputs = own.weight.shape[:2]
    weight: Tensor = other.weight[:outputs]
    if not own.extent.depthwise:
        weight = first_inputs(weight, inputs, own.extent.stacked)
    own.weight.copy_(smaller_window(weight, own.weight.shape[2], other.extent.kernels, other.transforms))
    own.bias.copy_(other.bias[:outputs])
    if own.normed:
        own.gain.copy_(other.gain[:outputs])
    for window, transform in own.transforms.items():
        transform.copy_(other.transforms[window])
