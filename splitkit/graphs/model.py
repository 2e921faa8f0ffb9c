"""Reading ONNX files, with errors that name the file."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError, Message  # type: ignore[import-untyped]

from splitkit.errors import ModelError
from splitkit.graphs.order import ordered


def load_model(path: str | Path, *, external_data: bool = True) -> onnx.ModelProto:
    """Read and check an ONNX file; its nodes are put in order. Weights in other files beside it are included, unless
    those are not to be touched.

    Raises:
        ModelError: the file is missing, truncated, not ONNX, or not a valid graph; or weights are in a file that is
            missing, not a regular one, not inside the model's directory, or not to be touched.
    """
    file = Path(path)
    try:
        model = ordered(onnx.load(str(file), load_external_data=external_data))
        outside = next((tensor.name for tensor in _tensors(model) if tensor.external_data), None)
        if outside is not None and not external_data:
            raise ModelError(f"{file}: tensor {outside!r}: its data is in another file", "save the model in one file")
        onnx.checker.check_model(model)
    except FileNotFoundError as error:
        missing = error.filename or file
        raise ModelError(f"{file}: cannot be read: no file {missing}") from error
    except OSError as error:
        raise ModelError(f"{file}: cannot be read: {error.strerror or error}") from error
    except DecodeError as error:
        raise ModelError(f"{file}: not an ONNX file, or a truncated one", "export or download it again") from error
    except (onnx.checker.ValidationError, ValueError) as error:  # a ValueError: names that are not UTF-8
        raise ModelError(f"{file}: not a valid ONNX model: {_first_line(error)}") from error
    if not model.graph.node:
        raise ModelError(f"{file}: the graph has no operators", "an empty or truncated file reads like this")
    return model


def sha256_of_model(path: str | Path) -> str:
    """SHA-256 of an ONNX file and, after it, of the files that hold its weights, in the order of their names.

    Raises:
        ModelError: as for `load_model`.
    """
    file = Path(path)
    load_model(file)  # whatever it refers to is there, then, and lies beside it
    tensors = _tensors(onnx.load(str(file), load_external_data=False))
    beside = {entry.value for tensor in tensors for entry in tensor.external_data if entry.key == "location"}
    digest = hashlib.sha256(file.read_bytes())
    for name in sorted(beside):
        digest.update((file.parent / name).read_bytes())
    return digest.hexdigest()


def _tensors(message: Message) -> Iterator[onnx.TensorProto]:
    """Every tensor anywhere in a model: initialisers, attributes, subgraphs, functions."""
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in [value] if isinstance(value, Message) else value:
                if isinstance(part, onnx.TensorProto):
                    yield part
                yield from _tensors(part)


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
