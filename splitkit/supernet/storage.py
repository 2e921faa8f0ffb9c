"""Checkpoint files: written whole or not at all, read without running code from them."""

from pathlib import Path
from typing import Any

import torch

from splitkit.errors import CheckpointError
from splitkit.scratch import replacing

SCHEMA_VERSION = 1


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


def read_checkpoint(path: Path, kind: str, device: str = "cpu") -> dict[str, Any]:
    """What `write_checkpoint` saved.

    Raises:
        CheckpointError: no such file, not a complete checkpoint, or one of another kind or version.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint")
    try:
        body = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # a damaged pickle can raise anything: IndexError, TypeError, UnpicklingError...
        raise CheckpointError(f"{path}: truncated, or not a checkpoint") from error
    if not isinstance(body, dict) or body.get("kind") != kind:
        raise CheckpointError(f"{path}: not a {kind} checkpoint")
    if body.get("schema_version") != SCHEMA_VERSION:
        found = body.get("schema_version")
        raise CheckpointError(f"{path}: schema_version {found!r}, this splitkit reads {SCHEMA_VERSION}")
    return body
