"""Whether a candidate fits the devices' memory: decided by the compiled plan, not by the search's lower bound."""

from splitkit.devices import get_device
from splitkit.exporters import KernelExporter, get_exporter
from splitkit.exporters.onnx.render import render
from splitkit.profiles import System
from splitkit.profiles.schema import Side
from splitkit.space import Architecture, Network, SearchSpace, describe


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
    plan = exporter.plan_memory(render(operators), get_device(profile).target())
    return plan.arena_bytes + plan.input_bytes + plan.output_bytes


def _refusal(network: Network, system: System, side: Side) -> str | None:
    limit = system.device(side).memory_bytes
    if limit is None:
        return None
    needed = required_bytes(network, system, side)
    return None if needed <= limit else f"{side}: needs {needed} bytes of working memory, {limit} are there"
