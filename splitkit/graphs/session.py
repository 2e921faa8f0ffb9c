"""ONNX Runtime doing nothing but what a model says."""

from collections.abc import Mapping
from typing import Any

import onnx
from numpy.typing import NDArray

from splitkit.errors import ModelError

Arrays = Mapping[str, NDArray[Any]]


class Session:
    """A model, its graph optimisations off.

    Raises:
        ModelError: ONNX Runtime cannot run it, here or when it is called.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.log_severity_level = 4
        try:
            self._session = onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its own classes derive from nothing narrower
            raise ModelError(f"ONNX Runtime cannot run {model.graph.name!r}: {_first_line(error)}") from error

    @property
    def inputs(self) -> list[str]:
        """Names of what it takes, in order."""
        return [value.name for value in self._session.get_inputs()]

    def __call__(self, given: Arrays) -> dict[str, NDArray[Any]]:
        """Outputs by name; of what is given it takes its inputs."""
        names = [value.name for value in self._session.get_outputs()]
        wanted = {value.name: given.get(value.name) for value in self._session.get_inputs()}
        for name, value in wanted.items():
            if value is None:
                raise ModelError(f"no array for input {name!r}", f"given are {', '.join(map(repr, given)) or 'none'}")
        try:
            return dict(zip(names, self._session.run(names, wanted), strict=True))
        except Exception as error:
            hint = "real inputs are given with --calibration FILE.npz"
            raise ModelError(f"ONNX Runtime: {_first_line(error)}", hint) from error


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__
