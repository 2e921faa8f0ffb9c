"""Checkpoint files: written whole or not at all, read without running code from them, checked before they are used."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from pydantic import BaseModel, ValidationError
from torch import Tensor

from splitkit.errors import CheckpointError
from splitkit.scratch import replacing
from splitkit.space.explain import explain
from splitkit.supernet.archive import ArchiveError, screen

SCHEMA_VERSION = 3

Header = TypeVar("Header", bound=BaseModel)


def write_checkpoint(path: Path, kind: str, body: dict[str, Any]) -> None:
    """Save tensors and plain values so that `path` always holds a complete file, whatever interrupts the writing.

    Raises:
        CheckpointError: there is no room for it, or no permission; what `path` held before is kept.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with replacing(path) as partial, partial.open("wb") as file:
            torch.save({"kind": kind, "schema_version": SCHEMA_VERSION, **body}, file)
    except (OSError, RuntimeError) as error:  # torch's writer makes a RuntimeError of a full disk
        cause = error if isinstance(error, OSError) else error.__context__
        if not isinstance(cause, OSError):
            raise
        hint = "an older one is kept" if path.exists() else "free the disk and run it again"
        raise CheckpointError(f"{path}: cannot be written: {cause.strerror or cause}", hint) from error


def read_checkpoint(path: Path, kind: str) -> dict[str, Any]:
    """What `write_checkpoint` saved, on the CPU, without `kind` and `schema_version`. Its fields are not checked yet.

    Raises:
        CheckpointError: no such file, not a complete checkpoint, or one of another kind or version.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint")
    try:
        screen(path)
        body = torch.load(path, map_location="cpu", weights_only=True)
    except ArchiveError as error:
        raise CheckpointError(f"{path}: truncated, or not a checkpoint: {error}") from error
    except Exception as error:  # a damaged pickle can raise anything: IndexError, TypeError, UnpicklingError...
        raise CheckpointError(f"{path}: truncated, or not a checkpoint") from error
    if not isinstance(body, dict) or body.get("kind") != kind:
        raise CheckpointError(f"{path}: not a {kind} checkpoint")
    found = body.get("schema_version")
    if type(found) is not int or found != SCHEMA_VERSION:
        shown = found if type(found) is int else type(found).__name__
        raise CheckpointError(
            f"{path}: schema_version: {shown}, this splitkit reads {SCHEMA_VERSION}", "make it again with this version"
        )
    return {field: value for field, value in body.items() if field not in ("kind", "schema_version")}


def header_of(path: Path, body: dict[str, Any], model: type[Header], tensors: Iterable[str]) -> Header:
    """The fields of a checkpoint that are plain values; those named `tensors` are left out.

    Raises:
        CheckpointError: the first field that is missing, unknown or out of range, named.
    """
    try:
        return model.model_validate({field: value for field, value in body.items() if field not in tensors})
    except ValidationError as error:
        try:
            reason = str(explain(error, str(path), model))
        except RecursionError:  # a value too deep to be shown
            reason = f"{path}: {error.errors()[0]['loc'][0]}: nested too deeply"
        raise CheckpointError(reason) from error


def tensors_of(path: Path, field: str, found: Any, expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A checkpoint's table of tensors, equal in names, shapes and types to `expected` and finite throughout.

    Args:
        path: named in errors, as `field` is.
        field: where the table is in the checkpoint.
        found: what the checkpoint holds there.
        expected: tensors of the wanted shapes and types; they may be on the meta device.

    Raises:
        CheckpointError: the first tensor that is missing, unknown or does not fit, named.
    """
    if not isinstance(found, dict):
        raise CheckpointError(f"{path}: {field}: a table of tensors is wanted, found {type(found).__name__}")
    for name in expected.keys() - found.keys():
        raise CheckpointError(f"{path}: {field}: {name} is missing")
    for name in found.keys() - expected.keys():
        raise CheckpointError(f"{path}: {field}: {_shown(name)} is not part of the network")
    for name, wanted in expected.items():
        check_tensor(f"{path}: {field}: {name}", found[name], wanted)
    return found


def check_tensor(where: str, found: Any, wanted: Tensor) -> None:
    """Refuse anything but a finite tensor of the shape and type of `wanted`, in memory of its own.

    Raises:
        CheckpointError: `where`, and what is wrong.
    """
    if type(found) is not Tensor:
        raise CheckpointError(f"{where}: a tensor is wanted, found {type(found).__name__}")
    if found.dtype != wanted.dtype:
        raise CheckpointError(f"{where}: {_dtype(found)}, {_dtype(wanted)} is wanted")
    if found.shape != wanted.shape:
        raise CheckpointError(f"{where}: shape {tuple(found.shape)}, {tuple(wanted.shape)} is wanted")
    # Elements that share memory would be a small file that becomes a large network.
    if found.layout != torch.strided or found.untyped_storage().nbytes() != found.numel() * found.element_size():
        raise CheckpointError(f"{where}: its elements are not stored one by one")
    if not bool(torch.isfinite(found).all()):
        raise CheckpointError(f"{where}: holds values that are not finite", "an earlier checkpoint may be sound")


@torch.no_grad()
def fill(targets: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> None:
    """Copy checked tensors into those of a network, which keep their memory layout and device."""
    for name, target in targets.items():
        target.copy_(values[name])


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _shown(name: Any) -> str:
    return repr(name[:60]) if isinstance(name, str) else f"a key of type {type(name).__name__}"
