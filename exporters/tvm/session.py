"""A compiled graph loaded in this process. Needs the TVM foreign-function runtime, not the compiler."""

import ctypes
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitkit.errors import BundleError, DeviceError, ModelError
from splitkit.exporters.protocol import Artifact

WEIGHTS_FILE = "weights.bin"
ALIGNMENT = 64
CALIBRATION_NS = 20_000_000
"""How long the cycle counter is compared with the clock."""
EMPTY, EMPTY_CALLS = "testing.nop", 200
"""A function of the TVM foreign-function runtime that does nothing, and how often it is timed."""
YIELDS = 500
"""How often a waiting worker thread gives way before it sleeps: 0.1 to 0.3 ms, which bridges the kernels of a network
and the runs of a loop. TVM's own 300,000 would keep a CPU busy for a tenth of a second after every run."""


def aligned_zeros(shape: Sequence[int], dtype: str) -> NDArray[Any]:
    """Zeros whose first byte is at a multiple of the alignment."""
    size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    raw = np.zeros(size + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + size].view(dtype).reshape(shape)


def fill(array: NDArray[Any], rng: np.random.Generator) -> None:
    """Values that neither vanish nor overflow: floats in [0.25, 1), bytes of any value, wider integers zero."""
    if array.dtype.kind == "f":
        array[...] = rng.uniform(0.25, 1.0, array.shape)
    elif array.dtype.itemsize == 1 and array.dtype.kind in "iu":
        array[...] = rng.integers(0, 100, array.shape)


class TvmSession:
    """Staging buffers, arena and weights of one artifact, and its entries. For one thread at a time."""

    def __init__(self, artifact: Artifact) -> None:
        import tvm_ffi

        self.artifact = artifact
        library, weights_file = artifact.file(artifact.report.get("library")), artifact.file(WEIGHTS_FILE)
        self._cpus = _start_threads(artifact.target.threads) if artifact.target.threads > 1 else ()
        try:
            module = tvm_ffi.load_module(str(library))
            self._run = module["run"]
            self._profiled = module["run_profiled"] if artifact.report["entries"][1] == "run_profiled" else None
            weights = np.fromfile(weights_file, np.uint8)
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            raise BundleError(f"{library}: cannot be loaded: {reason}", "compile it for this machine") from error
        if weights.nbytes != artifact.memory.weight_bytes:
            raise BundleError(
                f"{weights_file}: {weights.nbytes} bytes, the artifact states {artifact.memory.weight_bytes}",
                "export it again",
            )
        self._module = module
        try:
            self._inputs = {t.name: aligned_zeros(t.shape, t.dtype) for t in artifact.inputs}
            self._outputs = {t.name: aligned_zeros(t.shape, t.dtype) for t in artifact.outputs}
            self._weights = aligned_zeros(weights.shape, "uint8")
            self._weights[:] = weights
            self._arena = aligned_zeros((artifact.report["arena_bytes"],), "uint8")
            self._cycles = aligned_zeros((len(artifact.kernels) + 1,), "int64")
            self._fill()
        except (MemoryError, ValueError, TypeError, KeyError) as error:
            raise BundleError(f"{artifact.path}: buffers cannot be made: {error}", "export it again") from error
        arrays = [*self._inputs.values(), *self._outputs.values(), self._weights, self._arena]
        self._arguments = [tvm_ffi.from_dlpack(a) for a in arrays]
        self._profiled_arguments = [*self._arguments, tvm_ffi.from_dlpack(self._cycles)]
        self._ns_per_cycle: float | None = None
        self._empty: Callable[..., object] | None = tvm_ffi.get_global_func(EMPTY, allow_missing=True)
        self._empty_call_ns: int | None = None

    def _fill(self) -> None:
        rng = np.random.default_rng(0)
        for array in self._inputs.values():
            fill(array, rng)
        for offset, size, dtype in self.artifact.report.get("fill", ()):
            fill(self._arena[offset : offset + size].view(dtype), rng)

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
        with _pinned(self._cpus):
            self._run(*self._arguments)
        return {name: array.copy() for name, array in self._outputs.items()}

    def time_ns(self, repeats: int) -> NDArray[np.int64]:
        """Time in ns of each of `repeats` runs on the inputs last staged, shape (repeats,).

        Wall time less what calling an empty function from Python takes: what the graph takes whoever calls it, which
        an emulated slower core may multiply.
        """
        times = self._calls_ns(self._run, repeats)
        if self._empty_call_ns is None:
            empty = self._calls_ns(self._empty, EMPTY_CALLS) if self._empty is not None else np.zeros(1)
            self._empty_call_ns = int(np.median(empty))
        return np.maximum(times - self._empty_call_ns, 1)

    def _calls_ns(self, function: Callable[..., object], repeats: int) -> NDArray[np.int64]:
        times = np.empty(repeats, np.int64)
        clock, arguments = time.perf_counter_ns, self._arguments
        with _pinned(self._cpus):
            for i in range(repeats):
                start = clock()
                function(*arguments)
                times[i] = clock() - start
        return times

    def kernel_times_ns(self, repeats: int) -> NDArray[np.float64]:
        """In-situ time in ns of each kernel in call order, shape (repeats, len(artifact.kernels)).

        On x86 the generated code reads the processor's cycle counter between kernels, which costs nothing next to them.
        Elsewhere kernels are called one by one and what an empty call takes is subtracted.
        """
        if self._profiled is None:
            return self._one_by_one(repeats)
        if self._ns_per_cycle is None:
            self._ns_per_cycle = self._calibrate()
        stamps = np.empty((repeats, len(self._cycles)), np.int64)
        with _pinned(self._cpus):
            for i in range(repeats):
                self._profiled(*self._profiled_arguments)
                stamps[i] = self._cycles
        return np.diff(stamps, axis=1) * self._ns_per_cycle

    def _one_by_one(self, repeats: int) -> NDArray[np.float64]:
        one, clock = self._module["run_one"], time.perf_counter_ns
        kernels = len(self.artifact.kernels)
        times = np.empty((repeats, kernels + 1))
        for i in range(repeats):
            for k in range(kernels + 1):  # the last number is no kernel's: an empty call
                start = clock()
                one(*self._arguments, k)
                times[i, k] = clock() - start
        return np.maximum(times[:, :-1] - np.median(times[:, -1]), 1.0)

    def _calibrate(self) -> float:
        """Nanoseconds per count: the counter runs at a constant rate whatever the core's clock does."""
        profiled = self._profiled
        assert profiled is not None

        def sample() -> tuple[int, int]:
            profiled(*self._profiled_arguments)
            return time.perf_counter_ns(), int(self._cycles[-1])

        sample()
        (start_ns, start), end_ns, end = sample(), 0, 0
        while end_ns - start_ns < CALIBRATION_NS:
            end_ns, end = sample()
        return (end_ns - start_ns) / (end - start)


ONE_CPU_EACH = -2
"""`kSpecifyOneCorePerThread` of TVM's thread pool; the caller's own thread is the first."""


def _start_threads(threads: int) -> tuple[int, ...]:
    """Load TVM's thread pool, without importing TVM, and give each thread a CPU. Returns the caller's, or nothing.

    Unpinned, Linux may keep two threads that wait for each other on one CPU for good, and TVM's other modes use half of
    an x86 machine's CPUs at most, as if all were hyper-threads.
    """
    import tvm_ffi

    spec = find_spec("tvm")
    if spec is None or spec.origin is None:
        raise DeviceError("running on several threads needs the package apache-tvm", "pip install apache-tvm")
    os.environ.setdefault("TVM_THREAD_POOL_SPIN_COUNT", str(YIELDS))  # read when the pool's first thread starts
    ctypes.CDLL(str(Path(spec.origin).parent / "lib" / "libtvm_runtime.so"), mode=ctypes.RTLD_GLOBAL)
    configure = tvm_ffi.get_global_func("runtime.config_threadpool", allow_missing=True)
    if configure is None or not hasattr(os, "sched_getaffinity"):
        return ()
    allowed = os.sched_getaffinity(0)
    cpus = [cpu for _, cpu in zip(range(threads), cycle(sorted(allowed)), strict=False)]
    configure(ONE_CPU_EACH, threads, [str(cpu) for cpu in cpus])
    os.sched_setaffinity(0, allowed)
    return (cpus[0],)


@contextmanager
def _pinned(cpus: tuple[int, ...]) -> Iterator[None]:
    """Keep the calling thread on these CPUs for a while; nothing happens if there are none."""
    if not cpus:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
