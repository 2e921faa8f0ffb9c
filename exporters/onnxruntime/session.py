"""A model in ONNX Runtime's format, as splitkit's sessions run it."""

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitkit.errors import BundleError, ModelError
from splitkit.exporters.onnxruntime.convert import MODEL_FILE
from splitkit.exporters.protocol import Artifact


class OnnxRuntimeSession:
    """An `InferenceSession` on an optimised graph, its inputs and outputs bound to fixed arrays."""

    def __init__(self, artifact: Artifact) -> None:
        import onnxruntime

        self.artifact = artifact
        options = onnxruntime.SessionOptions()
        options.add_session_config_entry("session.load_model_format", "ORT")
        options.intra_op_num_threads = artifact.target.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        path = artifact.file(MODEL_FILE)
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's exceptions share no public base class
            reason = " ".join(str(error).split())[:200]
            raise BundleError(f"{path}: cannot be loaded: {reason}", "export it again") from error
        rng = np.random.default_rng(0)
        for role, stated, found in (
            ("input", artifact.inputs, self._session.get_inputs()),
            ("output", artifact.outputs, self._session.get_outputs()),
        ):
            if [(t.name, list(t.shape)) for t in stated] != [(t.name, list(t.shape)) for t in found]:
                raise BundleError(f"{path}: has other {role}s than the artifact states", "export it again")
        self._inputs = {t.name: _values(rng, t.shape, t.dtype) for t in artifact.inputs}
        self._outputs = {t.name: np.zeros(t.shape, t.dtype) for t in artifact.outputs}
        self._binding = self._session.io_binding()
        for name, array in self._inputs.items():
            self._bind(self._binding.bind_input, name, array)
        for name, array in self._outputs.items():
            self._bind(self._binding.bind_output, name, array)

    @staticmethod
    def _bind(bind: Any, name: str, array: NDArray[Any]) -> None:
        bind(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run once on arrays of exactly the shapes and dtypes of `artifact.inputs`; returns freshly owned arrays.

        Raises:
            ModelError: an input is missing, or has another shape or dtype.
        """
        for name, staged in self._inputs.items():
            given = inputs.get(name)
            if given is None:
                raise ModelError(f"input {name!r} is missing", f"the graph takes {', '.join(self._inputs)}")
            if given.shape != staged.shape or given.dtype != staged.dtype:
                raise ModelError(
                    f"input {name!r} is {given.dtype}{list(given.shape)}",
                    f"it must be {staged.dtype}{list(staged.shape)}",
                )
            np.copyto(staged, given)
        self._session.run_with_iobinding(self._binding)
        return {name: array.copy() for name, array in self._outputs.items()}

    def time_ns(self, repeats: int) -> NDArray[np.int64]:
        """Wall time in ns of each of `repeats` runs on the inputs last staged, shape (repeats,)."""
        times = np.empty(repeats, np.int64)
        clock, run, binding = time.perf_counter_ns, self._session.run_with_iobinding, self._binding
        for i in range(repeats):
            start = clock()
            run(binding)
            times[i] = clock() - start
        return times


def _values(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    """Something to time on before the first `run`: floats in [0.25, 1), bytes below 100, wider integers zero."""
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return rng.uniform(0.25, 1.0, shape).astype(dtype)
    if kind.itemsize == 1:
        return rng.integers(0, 100, shape).astype(dtype)
    return np.zeros(shape, dtype)
