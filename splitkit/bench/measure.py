"""Measure an architecture: compile both sides for their devices, time them whole and kernel by kernel.

Weights are random: how long a network takes does not depend on them.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from splitkit.bench.clock import TableClock
from splitkit.compiler.memory import MemoryPlan
from splitkit.devices import Device, get_device
from splitkit.errors import DeviceError
from splitkit.exporters.protocol import Artifact, KernelExporter
from splitkit.exporters.registry import get_exporter
from splitkit.graphs.graph import Graph, RenderedGraph
from splitkit.latency.hop import Hop
from splitkit.latency.measurement import GraphTiming, Measurement, SideMeasurement, summarise
from splitkit.profiles.schema import DeviceProfile, System
from splitkit.sides import Side
from splitkit.space import Architecture, SearchSpace, describe

GRAPH_RUNS = (30, 2000)
KERNEL_RUNS = (20, 2000)
"""Fewest and most timed runs; between them as many as fit `SECONDS_PER_TIMING`."""

SECONDS_PER_TIMING = 0.4


def measure_architecture(
    space: SearchSpace,
    system: System,
    architecture: Architecture,
    workdir: Path | None = None,
    *,
    clock: TableClock | None = None,
    hop: Hop | None = None,
) -> Measurement:
    """Compile and time both sides of a canonical architecture on the devices of `system`.

    Compiled graphs are left in `workdir` under `sensor` and `aggregator`, or thrown away. Given the `clock` of a table,
    times are stated at that. `hop` says what lies between the halves; left out, the link's profile alone.

    Raises:
        ModelError, ToolchainError: from the exporter.
        DeviceError: a device cannot run what was compiled, or its exporter cannot time kernels.
    """
    if workdir is None:
        with TemporaryDirectory(prefix="splitkit-") as made:
            return measure_architecture(space, system, architecture, Path(made), clock=clock, hop=hop)
    network = describe(space, architecture)
    sides: tuple[Side, Side] = ("sensor", "aggregator")
    sensor, aggregator = (
        measure_graph(RenderedGraph(tuple(operators)), system.device(side), workdir / side, clock=clock)
        if (operators := network.operators(side))
        else None
        for side in sides
    )
    hop, payload = hop or Hop(system.link, network.views), float(network.payload_bytes)
    return Measurement(architecture, sensor, aggregator, hop.link_us(payload), network.payload_bytes, hop.aggregator_us)


def measure_graph(
    graph: Graph, profile: DeviceProfile, directory: Path, *, clock: TableClock | None = None
) -> SideMeasurement:
    """Compile any graph into `directory` for a device and time it, whole and kernel by kernel.

    Raises:
        ModelError, ToolchainError: from the exporter.
        DeviceError: the device cannot run it, or its exporter cannot time single kernels.
    """
    device = get_device(profile)
    artifact = compile_for(device, profile.exporter, graph, directory)
    if clock is None:
        return SideMeasurement.of(time_artifact(artifact, device), device.label())
    timed, drift = clock.anchor(profile).steady(lambda: time_artifact(artifact, device))
    return SideMeasurement.of(timed.at_anchors_clock(drift), device.label())


def compile_for(device: Device, exporter_name: str, graph: Graph, directory: Path) -> Artifact:
    """Compile a graph for a device. For a modelled device only the kernels are worked out: nothing will run.

    Raises:
        DeviceError: the exporter cannot name its kernels.
    """
    exporter, target = get_exporter(exporter_name), device.target()
    if not isinstance(exporter, KernelExporter):
        raise DeviceError(f"exporter {exporter_name}: cannot time single kernels", "use one that can, such as tvm")
    if device.kernel_model is None:
        return exporter.compile(graph.model(), target, directory)
    kernels = exporter.lower(graph.model(), target, graph.interior)
    plan = MemoryPlan(0, sum(kernel.weight_bytes for kernel in kernels), 0, 0)
    return Artifact(directory, exporter_name, exporter.version, target, (), (), kernels, plan, {"modelled": True})


def time_artifact(artifact: Artifact, device: Device) -> GraphTiming:
    """Time a compiled graph whole and kernel by kernel."""
    probe = device.time_graph(artifact, repeats=5)
    graph = device.time_graph(artifact, repeats=_runs(probe.undisturbed, device, GRAPH_RUNS))
    runs = _runs(graph.undisturbed, device, KERNEL_RUNS)
    times, variances = summarise(device.time_kernels(artifact, repeats=runs))
    return GraphTiming(
        total=graph.undisturbed,
        variance=graph.variance,
        kernels=artifact.kernels,
        kernel_times=tuple(times.tolist()),
        kernel_variances=tuple(variances.tolist()),
    )


def _runs(time: float, device: Device, bounds: tuple[int, int]) -> int:
    """How many runs fit the time allowed, seen on this machine's clock; any unit passes for a microsecond."""
    seen = time / device.profile.time_scale
    return int(np.clip(SECONDS_PER_TIMING * 1e6 / max(seen, 1e-3), *bounds))
