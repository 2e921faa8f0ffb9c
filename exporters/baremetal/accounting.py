"""From a planned network and its object file to a memory report."""

from itertools import pairwise

from splitkit.compiler.arena import aligned
from splitkit.compiler.module import WEIGHTS
from splitkit.exporters.baremetal.network import Network
from splitkit.exporters.baremetal.objects import ObjectFile
from splitkit.exporters.memory_report import DriverMemory, LayerMemory, MemoryReport


def memory_report(network: Network, compiled: ObjectFile, driver: DriverMemory | None) -> MemoryReport:
    """Everything the network takes, and each layer's share."""
    weights, seen = _constant_sizes(network), set[int]()
    layers = []
    for index, (call, layer) in enumerate(zip(network.build.calls, network.layers, strict=True)):
        symbol = network.symbol(call.kernel)
        constants = {a.offset for a in call.addresses if a.region == WEIGHTS}
        layers.append(
            LayerMemory(
                layer=layer.origin,
                kernel=layer.kernel.label,
                symbol=symbol,
                code_bytes=0 if call.kernel in seen else compiled.functions[symbol].code_bytes,
                weight_bytes=sum(weights.pop(offset, 0) for offset in sorted(constants)),
                live_bytes=_live_bytes(network, index),
                workspace_bytes=network.build.kernels[call.kernel].workspace_bytes,
                stack_bytes=compiled.stack_bytes(symbol),
                external_calls=tuple(sorted(compiled.external_calls(symbol))),
            )
        )
        seen.add(call.kernel)
    return MemoryReport(
        name=network.name,
        code_bytes=compiled.code_bytes,
        constant_bytes=compiled.constant_bytes,
        weight_bytes=network.weight_bytes,
        unwind_bytes=compiled.unwind_bytes,
        arena_bytes=network.arena_bytes,
        workspace_bytes=max((layer.workspace_bytes for layer in layers), default=0),
        input_bytes=sum(t.bytes for t in network.inputs),
        output_bytes=sum(t.bytes for t in network.outputs),
        driver=driver,
        layers=tuple(layers),
    )


def _constant_sizes(network: Network) -> dict[int, int]:
    """Size of each constant by its offset, padding included."""
    offsets = sorted({a.offset for call in network.build.calls for a in call.addresses if a.region == WEIGHTS})
    return {start: stop - start for start, stop in pairwise([*offsets, network.weight_bytes])}


def _live_bytes(network: Network, index: int) -> int:
    """Arena bytes in use during a call."""
    plan = network.build.plan
    if plan is None:  # unconnected kernels keep everything
        return network.arena_bytes
    return sum(aligned(b.bytes, network.alignment) for b in plan.blocks if b.first <= index <= b.last)
