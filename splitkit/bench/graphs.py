"""Graphs of any origin, measured once: their kernels into the table."""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from splitkit.bench.jobs import Bench, CompileJob, Compiler, MeasureJob
from splitkit.bench.recording import Recorder
from splitkit.devices import get_device
from splitkit.graphs.graph import Graph
from splitkit.latency.kernel_times import conditions_of
from splitkit.latency.store import LutStore
from splitkit.profiles.schema import DeviceProfile


def measure_graphs(store: LutStore, profile: DeviceProfile, graphs: Mapping[str, Graph]) -> None:
    """Compile graphs for a device, time their kernels where they stand, and keep that in the table, all or nothing.

    Nothing is done for a device that is a model.

    Args:
        graphs: by a name that tells them apart in the table.

    Raises:
        ModelError, ToolchainError: from the exporter.
        DeviceError: the device cannot run them, or its exporter cannot time single kernels.
    """
    profile = profile.unscaled()
    device = get_device(profile)
    if device.kernel_model is not None:
        return
    recorder = Recorder(store, conditions_of(device, profile.exporter), cache_bytes=device.cache_bytes)
    with TemporaryDirectory(prefix="splitkit-") as scratch:
        job = CompileJob("graphs", graphs, Path(scratch), watch=1 if device.unit == "us" else 0, anchor=recorder.anchor)
        compiled = Compiler(profile.exporter, device.target()).compile(job)
        if compiled.anchor is not None:
            recorder.watch(compiled.anchor.kernels)
        wanted = MeasureJob(job.network, compiled.artifacts, compiled.anchor, recorder.reference)
        recorder.add(job.network, Bench(profile)(wanted, lambda message: None))
