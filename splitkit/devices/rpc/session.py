"""A compiled graph on a board: uploaded, its buffers there, timed by the board's own clock."""

import time
from collections.abc import Mapping
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitkit.devices.rpc.board import Board
from splitkit.errors import DeviceError, ModelError
from splitkit.exporters.protocol import Artifact
from splitkit.space.tensor import TensorSpec

WEIGHTS_FILE = "weights.bin"
CALIBRATION_S = 0.2
"""How long the board's cycle counter is compared with this machine's clock."""

CALIBRATION_TRIES = 5
"""Readings at either end, of which the one with the shortest way counts."""

_UPLOADS = count()


class RemoteSession:
    """Implements `splitkit.exporters.protocol.KernelSession` for artifacts of the exporter `tvm`.

    Raises:
        DeviceError: the artifact is of another exporter, or the board fails.
    """

    def __init__(self, artifact: Artifact, board: Board) -> None:
        if artifact.exporter != "tvm":
            raise DeviceError(
                f"board {board.name}: cannot run what exporter {artifact.exporter} made", 'exporter = "tvm" can'
            )
        self.artifact, self._board = artifact, board
        self._ns_per_cycle: float | None = None
        board.call("uploading", self._upload)

    def _upload(self) -> None:
        from tvm import runtime

        remote, library = self._board.remote, self.artifact.file(self.artifact.report.get("library"))
        name = f"{next(_UPLOADS)}-{library.name}"  # writing over a library that is loaded would crash the board
        remote.upload(str(library), name)
        self._module = remote.load_module(name)
        device = remote.cpu()
        rng = np.random.default_rng(0)

        def place(shape: tuple[int, ...], values: NDArray[Any]) -> Any:
            tensor = runtime.empty(shape, str(values.dtype), device)
            tensor.copyfrom(values)
            return tensor

        def zeros(count: int, dtype: str) -> Any:
            return place((count,), np.zeros(count, dtype))

        arena = np.zeros(self.artifact.report["arena_bytes"], np.uint8)
        for offset, size, dtype in self.artifact.report.get("fill", ()):
            part = arena[offset : offset + size].view(dtype)
            part[...] = _values(part.shape, part.dtype, rng)
        weights = np.fromfile(self.artifact.file(WEIGHTS_FILE), np.uint8)
        self._inputs = {t.name: place(t.shape, _values(t.shape, np.dtype(t.dtype), rng)) for t in self.artifact.inputs}
        self._outputs = {t.name: place(t.shape, np.zeros(t.shape, t.dtype)) for t in self.artifact.outputs}
        self._cycles = zeros(len(self.artifact.kernels) + 1, "int64")
        self._arguments = [
            *self._inputs.values(), *self._outputs.values(),
            place(weights.shape, weights), place(arena.shape, arena),
        ]  # fmt: skip
        self._run = self._module["run"]

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """As `Session.run`.

        Raises:
            ModelError: an input is missing, or has another shape or dtype.
            DeviceError: the board failed.
        """
        for spec in self.artifact.inputs:
            _check(spec, inputs)

        def once() -> dict[str, NDArray[Any]]:
            for name, tensor in self._inputs.items():
                tensor.copyfrom(np.ascontiguousarray(inputs[name]))
            self._run(*self._arguments)
            return {name: tensor.numpy() for name, tensor in self._outputs.items()}

        return self._board.call("running", once)

    def time_ns(self, repeats: int) -> NDArray[np.int64]:
        """As `Session.time_ns`, by the board's clock; one more run goes before."""

        def series() -> NDArray[np.int64]:
            evaluate = self._module.time_evaluator("run", self._board.remote.cpu(), number=1, repeat=repeats)
            return np.round(np.array(evaluate(*self._arguments).results) * 1e9).astype(np.int64)

        return self._board.call(f"timing {repeats} runs", series)

    def kernel_times_ns(self, repeats: int) -> NDArray[np.float64]:
        """As `KernelSession.kernel_times_ns`: the generated code reads the board's counter between kernels.

        Raises:
            DeviceError: a program may not read such a counter on the board's processor.
        """
        if self.artifact.report["entries"][1] != "run_profiled":
            raise DeviceError(
                f"board {self._board.name}: its processor has no counter that a program may read, "
                "so kernels cannot be timed where they stand",
                "x86-64, aarch64 and riscv64 have one",
            )
        return self._board.call(f"timing kernels in {repeats} runs", lambda: self._stamps(repeats))

    def _stamps(self, repeats: int) -> NDArray[np.float64]:
        profiled = self._module["run_profiled"]

        def stamps() -> NDArray[np.int64]:
            profiled(*self._arguments, self._cycles)
            cycles: NDArray[np.int64] = self._cycles.numpy()
            return cycles

        if self._ns_per_cycle is None:
            self._ns_per_cycle = _ns_per_cycle(lambda: int(stamps()[-1]))
        return np.diff(np.array([stamps() for _ in range(repeats)]), axis=1) * self._ns_per_cycle


def _ns_per_cycle(read: Any) -> float:
    """Nanoseconds per count of a constant-rate counter that is read over the network."""

    def reading() -> tuple[float, int]:
        best: tuple[float, float, int] | None = None
        for _ in range(CALIBRATION_TRIES):
            before = time.perf_counter_ns()
            count = read()
            after = time.perf_counter_ns()
            if best is None or after - before < best[0]:
                best = (after - before, (before + after) / 2, count)
        assert best is not None
        return best[1:]

    start_ns, start = reading()
    time.sleep(CALIBRATION_S)
    end_ns, end = reading()
    return (end_ns - start_ns) / (end - start)


def _values(shape: tuple[int, ...], dtype: np.dtype[Any], rng: np.random.Generator) -> NDArray[Any]:
    """Values that neither vanish nor overflow: floats in [0.25, 1), bytes below 100, wider integers zero."""
    if dtype.kind == "f":
        return rng.uniform(0.25, 1.0, shape).astype(dtype)
    if dtype.itemsize == 1 and dtype.kind in "iu":
        return rng.integers(0, 100, shape).astype(dtype)
    return np.zeros(shape, dtype)


def _check(spec: TensorSpec, inputs: Mapping[str, NDArray[Any]]) -> None:
    given = inputs.get(spec.name)
    if given is None:
        raise ModelError(f"input {spec.name!r} is missing")
    if given.shape != spec.shape or str(given.dtype) != spec.dtype:
        raise ModelError(
            f"input {spec.name!r} is {given.dtype}{list(given.shape)}", f"it must be {spec.dtype}{list(spec.shape)}"
        )
