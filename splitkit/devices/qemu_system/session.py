"""A half on an emulated board: one emulator process runs every image."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitkit.devices.qemu_system.counts import Counts
from splitkit.devices.qemu_system.emulator import Emulator
from splitkit.errors import ModelError
from splitkit.exporters.protocol import Artifact


class FirmwareSession:
    """Runs a network inside its firmware. Times are the device's estimate, whatever the emulation took."""

    def __init__(self, artifact: Artifact, emulator: Emulator, time: float) -> None:
        self.artifact = artifact
        self._emulator = emulator
        self._time = time

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run once on arrays of exactly the shapes and dtypes of `artifact.inputs`; returns freshly owned arrays.

        Raises:
            ModelError: an input is missing, or has another shape or dtype.
            DeviceError: the firmware faulted or hung.
        """
        outputs = self.artifact.outputs
        answer = self._emulator.ask(b"r" + staged(self.artifact, inputs), sum(t.bytes for t in outputs))
        found, start = {}, 0
        for tensor in outputs:
            raw = bytearray(answer[start : start + tensor.bytes])
            found[tensor.name] = np.frombuffer(raw, tensor.dtype).reshape(tensor.shape)
            start += tensor.bytes
        return found

    def time_ns(self, repeats: int) -> NDArray[np.int64]:
        """The device's estimate of a run, `repeats` times: counting again gives the same."""
        return np.full(repeats, round(self._time * 1e3), dtype=np.int64)

    def close(self) -> None:
        """End the emulator."""
        self._emulator.close()


def profile(artifact: Artifact, emulator: Emulator) -> bytes:
    """The firmware's report of a run on fixed inputs."""
    rng = np.random.default_rng(0)
    inputs = {t.name: _values(rng, t.shape, t.dtype) for t in artifact.inputs}
    return emulator.ask(b"p" + staged(artifact, inputs), Counts.report_bytes(len(artifact.kernels)))


def staged(artifact: Artifact, inputs: Mapping[str, NDArray[Any]]) -> bytes:
    """The inputs as the firmware reads them: one after the other, in the graph's order.

    Raises:
        ModelError: an input is missing, or has another shape or dtype.
    """
    parts = []
    for tensor in artifact.inputs:
        given = inputs.get(tensor.name)
        if given is None:
            names = ", ".join(t.name for t in artifact.inputs)
            raise ModelError(f"input {tensor.name!r} is missing", f"the graph takes {names}")
        if given.shape != tensor.shape or str(given.dtype) != tensor.dtype:
            raise ModelError(
                f"input {tensor.name!r} is {given.dtype}{list(given.shape)}",
                f"it must be {tensor.dtype}{list(tensor.shape)}",
            )
        parts.append(np.ascontiguousarray(given).tobytes())
    return b"".join(parts)


def _values(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    """Something to count on: floats in [0.25, 1), any bytes, wider integers zero."""
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return rng.uniform(0.25, 1.0, shape).astype(dtype)
    if kind.itemsize == 1:
        return rng.integers(0, 128, shape).astype(dtype)
    return np.zeros(shape, dtype)
