"""Weights taken over from a plain torch checkpoint of a single network, by a table that says what goes where.

The table is TOML, one line a layer of the space (slot and operator, as `splitkit train --init` names them):

    [layers]
    "stem.conv"        = { conv = "features.0.0", norm = "features.0.1" }
    "p0.stride.expand" = { conv = "features.2.conv.0.0", norm = "features.2.conv.0.1" }
    "head.scores"      = { linear = "classifier.1" }

`conv`, `norm` and `linear` are prefixes in the checkpoint: `.weight` and `.bias` are looked up behind them. Channels go
to the front, a smaller window to the centre; layers that no line names keep their initial weights.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from splitkit.errors import CheckpointError, ConfigError
from splitkit.reading import parse_toml, read_text
from splitkit.sides import SIDES
from splitkit.space.explain import explain
from splitkit.supernet.elastic import ElasticConv, ElasticLinear
from splitkit.supernet.supernet import ElasticUnit, Supernet

Prefix = Annotated[str, Field(min_length=1)]


class Source(BaseModel):
    """Where a layer's weights are in the checkpoint."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    conv: Prefix | None = None
    norm: Prefix | None = None
    linear: Prefix | None = None


class Table(BaseModel):
    """Layers of the space by name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    layers: dict[str, Source] = Field(min_length=1)


def load_table(path: Path) -> Table:
    """A table from its file.

    Raises:
        ConfigError: no such file, not TOML, or a field that is missing or unknown.
    """
    try:
        return Table.model_validate(parse_toml(read_text(path), str(path)))
    except ValidationError as error:
        raise explain(error, str(path), Table) from error


def load_tensors(path: Path) -> Mapping[str, Tensor]:
    """The tensors of a checkpoint that `torch.save` wrote of a state dict; no code of it is run.

    Raises:
        CheckpointError: it is missing, damaged, or holds something else.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint")
    try:
        body: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle can raise anything
        raise CheckpointError(f"{path}: truncated, or not a state dict saved by torch") from error
    for wrapper in ("state_dict", "model"):
        if isinstance(body, dict) and isinstance(body.get(wrapper), dict):
            body = body[wrapper]
    tensors = (
        {str(name): value for name, value in body.items() if type(value) is Tensor} if isinstance(body, dict) else {}
    )
    if not tensors:
        raise CheckpointError(f"{path}: no state dict", "save it with torch.save(model.state_dict(), FILE)")
    return tensors


@torch.no_grad()
def adopt(supernet: Supernet, tensors: Mapping[str, Tensor], table: Table, source: str) -> int:
    """Fill the layers that `table` names, on both sides.

    Args:
        tensors: of the checkpoint.
        source: its name, for errors.

    Returns:
        How many layers were filled.

    Raises:
        ConfigError: the space has no such layer; `layers.NAME` is named.
        CheckpointError: a tensor is missing, not finite, or too large for its layer.
    """
    for name, where in table.layers.items():
        found = [layer for side in SIDES if (layer := _layer(supernet, side, name)) is not None]
        if not found:
            raise ConfigError(f"layers.{name}: no layer of the space {supernet.space.name}")
        for layer in found:
            _fill(layer, name, where, tensors, source)
    return len(table.layers)


def _layer(supernet: Supernet, side: str, name: str) -> ElasticConv | ElasticLinear | None:
    slot, _, operator = name.rpartition(".")
    units = getattr(supernet, side).units
    key = slot.replace(".", "_")
    if key not in units:
        return None
    unit: ElasticUnit = units[key]
    if operator in unit.convs:
        return unit.conv(operator)
    return unit.linear(operator) if operator in unit.linears else None


def _fill(
    layer: ElasticConv | ElasticLinear, name: str, where: Source, tensors: Mapping[str, Tensor], source: str
) -> None:
    wanted = "conv" if isinstance(layer, ElasticConv) else "linear"
    prefix = getattr(where, wanted)
    if prefix is None or (wanted == "conv") == (where.linear is not None):
        raise ConfigError(f"layers.{name}: a {wanted} layer; give it {wanted} = PREFIX")
    target = layer.weight
    weight = _tensor(tensors, f"{prefix}.weight", source)
    if weight.ndim != target.ndim or any(a > b for a, b in zip(weight.shape, target.shape, strict=True)):
        raise CheckpointError(
            f"{source}: {prefix}.weight: {tuple(weight.shape)}, {name} has room for {tuple(target.shape)}"
        )
    outputs, inputs = weight.shape[:2]
    if wanted == "conv":
        _check_window(weight, layer, f"{source}: {prefix}.weight")  # type: ignore[arg-type]
        edge = (target.shape[2] - weight.shape[2]) // 2
        window = slice(edge, edge + weight.shape[2])
        target[:outputs].zero_()
        target[:outputs, :inputs, window, window] = weight
    else:
        target[:outputs, :inputs] = weight
    normed = isinstance(layer, ElasticConv) and layer.normed
    shift = where.norm if normed else prefix
    if shift is not None:
        if isinstance(layer, ElasticConv) and layer.normed:
            layer.gain[:outputs] = _vector(tensors, f"{shift}.weight", outputs, source)
        layer.bias[:outputs] = _vector(tensors, f"{shift}.bias", outputs, source)


def _check_window(weight: Tensor, layer: ElasticConv, where: str) -> None:
    sides = tuple(weight.shape[2:])
    if sides[0] != sides[1] or sides[0] not in layer.extent.kernels:
        raise CheckpointError(
            f"{where}: a window of {sides[0]} x {sides[1]}, the space has {list(layer.extent.kernels)}"
        )


def _tensor(tensors: Mapping[str, Tensor], name: str, source: str) -> Tensor:
    if name not in tensors:
        raise CheckpointError(f"{source}: {name} is missing")
    if not bool(torch.isfinite(tensors[name]).all()):
        raise CheckpointError(f"{source}: {name}: holds values that are not finite")
    return tensors[name].float()


def _vector(tensors: Mapping[str, Tensor], name: str, length: int, source: str) -> Tensor:
    found = _tensor(tensors, name, source)
    if tuple(found.shape) != (length,):
        raise CheckpointError(f"{source}: {name}: {tuple(found.shape)}, ({length},) is wanted")
    return found
