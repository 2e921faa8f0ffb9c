"""A half running as a process of its own, emulated or not: frames go in through a pipe, outputs come out."""

import json
import subprocess
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from splitkit.errors import DeviceError, ModelError
from splitkit.exporters.protocol import Artifact
from splitkit.processes import tied
from splitkit.space.tensor import TensorSpec

BENCH_TIMEOUT_S = 600.0


class RunnerSession:
    """One process serves every run; it is started by the first and ends with the session."""

    def __init__(self, artifact: Artifact, executable: Path, emulator: Sequence[str]) -> None:
        self.artifact = artifact
        self._command = [*emulator, str(executable)]
        (self._output,) = artifact.outputs
        self._process: subprocess.Popen[bytes] | None = None

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run once on arrays of exactly the shapes and dtypes of `artifact.inputs`; returns freshly owned arrays.

        Raises:
            ModelError: the input is missing, or has another shape or dtype.
            DeviceError: the process failed.
        """
        frame = b"".join(_checked(want, inputs.get(want.name)).tobytes() for want in self.artifact.inputs)
        sink, source = self._pipes()
        try:
            sink.write(frame)
            sink.flush()
            raw = source.read(self._output.bytes)
        except OSError:
            raw = b""
        if len(raw) != self._output.bytes:
            raise self._failure()
        return {self._output.name: np.frombuffer(bytearray(raw), self._output.dtype).reshape(self._output.shape)}

    def time_ns(self, repeats: int) -> NDArray[np.int64]:
        """Wall time in ns of each of `repeats` runs on a fixed input, shape (repeats,). Emulated, if QEMU runs it.

        Raises:
            DeviceError: the process failed.
        """
        return np.array(self._bench(repeats)["run_ns"], dtype=np.int64)

    def kernel_times_ns(self, repeats: int) -> NDArray[np.float64]:
        """Time in ns of each kernel in call order, shape (repeats, kernels). Emulated, if QEMU runs it.

        Raises:
            DeviceError: the process failed.
        """
        times = np.array(self._bench(repeats)["kernel_ns"], dtype=np.float64)
        return times.reshape(repeats, len(self.artifact.kernels))

    def _bench(self, repeats: int) -> dict[str, Any]:
        command = tied([*self._command, "bench", "--repeats", str(repeats)])
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=BENCH_TIMEOUT_S)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise DeviceError(f"{self._command[-1]}: cannot be timed: {error}") from error
        if done.returncode != 0:
            raise DeviceError(f"{self._command[-1]}: {_last_line(done.stderr, done.returncode)}")
        return dict(json.loads(done.stdout))

    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        if self._process is None:
            try:
                self._process = subprocess.Popen(
                    tied([*self._command, "run"]), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
                )
            except OSError as error:
                raise DeviceError(f"{self._command[0]}: cannot be started: {error.strerror or error}") from error
            weakref.finalize(self, _end, self._process)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        return self._process.stdin, self._process.stdout

    def _failure(self) -> DeviceError:
        """Why the process gave no whole output; it is gone afterwards, and the next run starts another."""
        process, self._process = self._process, None
        assert process is not None
        _end(process)
        assert process.stderr is not None
        return DeviceError(f"{self._command[-1]}: {_last_line(process.stderr.read().decode(), process.returncode)}")


def _checked(want: TensorSpec, given: NDArray[Any] | None) -> NDArray[Any]:
    if given is None:
        raise ModelError(f"input {want.name!r} is missing", f"the graph takes {want.name}")
    if given.shape != want.shape or str(given.dtype) != want.dtype:
        raise ModelError(
            f"input {want.name!r} is {given.dtype}{list(given.shape)}", f"it must be {want.dtype}{list(want.shape)}"
        )
    return np.ascontiguousarray(given)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Close its input, on which a runner ends by itself; kill it if it does not."""
    if process.stdin is not None:
        with suppress(OSError):
            process.stdin.close()
    try:
        process.wait(timeout=1.0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _last_line(stderr: str, code: int) -> str:
    lines = stderr.strip().splitlines()
    if lines:
        return lines[-1].removeprefix("error: ")
    return f"ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
