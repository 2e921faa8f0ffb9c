"""Whether a candidate fits the devices' memory: decided by the compiled plan, not by the search's lower bound."""

import json
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

from splitkit.devices import get_device
from splitkit.errors import DeviceError
from splitkit.exporters import CompileTarget, KernelExporter, MemoryPlan, get_exporter
from splitkit.exporters.memory_report import MemoryReport, check_budget
from splitkit.exporters.protocol import AccountingExporter
from splitkit.graphs.graph import Graph, RenderedGraph
from splitkit.profiles import DeviceProfile, System
from splitkit.sides import Side
from splitkit.space import Architecture, Network, SearchSpace, describe


def refusal(space: SearchSpace, system: System, architecture: Architecture) -> str | None:
    """Why `architecture` cannot be deployed on `system`, in one line; None if it can.

    Counted against a device's `memory_bytes`: the arena (activations and workspace) and the buffers at the graph's
    edges, with one receive buffer per view; without an operating system, the stack too. Weights are read from where
    they are stored: with the code, they count against `flash_bytes` where code is compiled for bare metal.
    """
    return network_refusal(describe(space, architecture), system)


def network_refusal(network: Network, system: System) -> str | None:
    """The same of any chain of units on either side."""
    return _refusal(network, system, "sensor") or _refusal(network, system, "aggregator")


def required_bytes(network: Network, system: System, side: Side) -> int:
    """Working memory of one side's compiled form, in bytes."""
    operators = network.operators(side)
    if not operators:
        return network.image.bytes if side == "sensor" else network.views * network.payload_bytes
    profile = system.device(side)
    report = _memory_report(network, profile, side)
    if report is not None:
        return report.ram_bytes
    exporter = get_exporter(profile.exporter)
    if not isinstance(exporter, KernelExporter):
        return network.peak_sensor_bytes_bound() if side == "sensor" else 0
    plan = _plan(RenderedGraph(tuple(operators)), exporter.name, get_device(profile).target().key())
    return plan.arena_bytes + plan.input_bytes + plan.output_bytes


def _memory_report(network: Network, profile: DeviceProfile, side: Side) -> MemoryReport | None:
    """What one side takes of flash and RAM, layer by layer; None if the device's exporter does not report it."""
    operators = network.operators(side)
    if not operators or not isinstance(get_exporter(profile.exporter), AccountingExporter):
        return None
    return _compiled_report(RenderedGraph(tuple(operators)), profile.exporter, side, get_device(profile).target().key())


@lru_cache(maxsize=4096)
def _plan(graph: Graph, exporter_name: str, target: str) -> MemoryPlan:
    """Many candidates share a half; each is planned once."""
    exporter = get_exporter(exporter_name)
    assert isinstance(exporter, KernelExporter)
    return exporter.plan_memory(graph.model(), CompileTarget(**json.loads(target)))


@lru_cache(maxsize=4096)
def _compiled_report(graph: Graph, exporter_name: str, name: str, target: str) -> MemoryReport:
    """How large code and stack are is known only once they are compiled."""
    with TemporaryDirectory(prefix="splitkit-") as scratch:
        exporter = get_exporter(exporter_name)
        assert isinstance(exporter, AccountingExporter)
        artifact = exporter.compile(graph.model(), CompileTarget(**json.loads(target)), Path(scratch) / name)
        return exporter.memory_report(artifact)


def _refusal(network: Network, system: System, side: Side) -> str | None:
    profile = system.device(side)
    if profile.memory_bytes is None and profile.flash_bytes is None:
        return None
    report = _memory_report(network, profile, side)
    if report is not None:
        try:
            check_budget(report, profile.flash_bytes, profile.memory_bytes)
        except DeviceError as error:
            return str(error)
        return None
    if profile.memory_bytes is None:
        return None
    needed, limit = required_bytes(network, system, side), profile.memory_bytes
    return None if needed <= limit else f"{side}: needs {needed} bytes of working memory, {limit} are there"
