"""Halves as files."""

from pathlib import Path

import onnx

from splitkit.graphs.cut import Halves
from splitkit.scratch import replacing

LARGEST_PROTO = 2**31 - 1
"""Bytes of one protobuf message."""


def save_halves(halves: Halves, directory: Path) -> None:
    """Write `head.onnx` and `tail.onnx`, each whole or not at all; weights above 2 GB go into a file beside each.

    Raises OSError.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for name, model in (("head", halves.head), ("tail", halves.tail)):
        path = directory / f"{name}.onnx"
        if model.ByteSize() <= LARGEST_PROTO:
            with replacing(path) as partial:
                partial.write_bytes(model.SerializeToString())
        else:
            onnx.save(model, str(path), save_as_external_data=True, location=f"{name}.weights")
