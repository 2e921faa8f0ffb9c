"""Reading ONNX files, with errors that name the file."""

from pathlib import Path

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from splitkit.errors import ModelError
from splitkit.graphs.order import ordered


def load_model(path: str | Path) -> onnx.ModelProto:
    """Read and check an ONNX file, external weights included; its nodes are put in order.

    Raises:
        ModelError: the file is missing, truncated, not ONNX, or not a valid graph.
    """
    file = Path(path)
    try:
        model = ordered(onnx.load(str(file)))
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


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
