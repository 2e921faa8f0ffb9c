"""Halves as files."""

from pathlib import Path

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from splitkit.errors import ModelError
from splitkit.graphs.cut import Halves
from splitkit.scratch import replacing

LARGEST_PROTO = 2**31 - 1
"""Bytes of one protobuf message."""


def save_halves(halves: Halves, directory: Path) -> None:
    """Write `head.onnx` and `tail.onnx`, each whole or not at all; weights above 2 GB go into a file beside each.

    Raises:
        ModelError: something else than a half of an earlier cut is there; nothing is written then.
        OSError: they cannot be written.
    """
    parts = {directory / f"{name}.onnx": (name, getattr(halves, name)) for name in ("head", "tail")}
    for path, (name, _) in parts.items():
        if path.exists() and not _is_half(path, name):
            raise ModelError(f"{path}: is there already, and is no half of a cut", "name another directory")
    directory.mkdir(parents=True, exist_ok=True)
    for path, (name, model) in parts.items():
        if model.ByteSize() <= LARGEST_PROTO:
            with replacing(path) as partial:
                partial.write_bytes(model.SerializeToString())
        else:
            onnx.save(model, str(path), save_as_external_data=True, location=f"{name}.weights")


def _is_half(path: Path, name: str) -> bool:
    """Whether `cut` made it: it names graphs."""
    try:
        return bool(onnx.load_model(str(path), load_external_data=False).graph.name.endswith(f"_{name}"))
    except (DecodeError, OSError, ValueError):
        return False
