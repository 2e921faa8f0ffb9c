"""Whether a candidate fits the devices' memory: decided by the compiled plan, not by the search's lower bound."""

import json
from functools import lru_cache

from splitkit.devices import get_device
from splitkit.exporters import CompileTarget, KernelExporter, MemoryPlan, get_exporter
from splitkit.exporters.onnx.render import render
from splitkit.profiles import System
from splitkit.profiles.schema import Side
from splitkit.space import Architecture, Network, SearchSpace, describe
from splitkit.space.operators import Operator


def refusal(space: SearchSpace, system: System, architecture: Architecture) -> str | None:
    """Why `architecture` cannot be deployed on `system`, in one line; None if it can.

    Counted against a device's `memory_bytes`: the arena (activations and workspace) and the buffers at the graph's
    edges, with one receive buffer per view. Weights are read from where they are stored.
    """
    network = describe(space, architecture)
    return _refusal(network, system, "sensor") or _refusal(network, system, "aggregator")


def required_bytes(network: Network, system: System, side: Side) -> int:
    """Working memory of one side's compiled form, in bytes."""
    operators = network.operators(side)
    if not operators:
        return network.image.bytes if side == "sensor" else network.views * network.payload_bytes
    profile = system.device(side)
    exporter = get_exporter(profile.exporter)
    if not isinstance(exporter, KernelExporter):
        return network.peak_sensor_bytes_bound() if side == "sensor" else 0
    plan = _plan(tuple(operators), exporter.name, get_device(profile).target().key())
    return plan.arena_bytes + plan.input_bytes + plan.output_bytes


@lru_cache(maxsize=4096)
def _plan(operators: tuple[Operator, ...], exporter_name: str, target: str) -> MemoryPlan:
    """Many candidates share a half; each is planned once."""
    exporter = get_exporter(exporter_name)
    assert isinstance(exporter, KernelExporter)
    return exporter.plan_memory(render(operators), CompileTarget(**json.loads(target)))


def _refusal(network: Network, system: System, side: Side) -> str | None:
    limit = system.device(side).memory_bytes
    if limit is None:
        return None
    needed = required_bytes(network, system, side)
    return None if needed <= limit else f"{side}: needs {needed} bytes of working memory, {limit} are there"
