"""The best place to cut a model that somebody else made."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from splitkit.bench.graphs import measure_graphs
from splitkit.bundle.partition import edges_of, halves_of
from splitkit.compiler.kernel import Kernel
from splitkit.devices import get_device
from splitkit.errors import DeviceError
from splitkit.exporters.protocol import KernelExporter
from splitkit.graphs.cut import tensor_dtype, tensor_shape
from splitkit.graphs.shapes import value_infos
from splitkit.latency.graph_predictor import GraphPredictor
from splitkit.latency.store import LutStore
from splitkit.partition.costs import Costs, network_and_costs
from splitkit.partition.cuts import Cut, list_cuts
from splitkit.partition.mincut import least_cost
from splitkit.partition.options import Option, Partition
from splitkit.profiles.schema import System
from splitkit.sides import SIDES, Side
from splitkit.space.tensor import TensorSpec

if TYPE_CHECKING:
    import onnx

MOST_TENSORS, LISTED = 4, 6
"""Tensors that may cross, and cuts that are looked at in full, by default."""

TRIED = 5
"""Times as many as are wanted are looked at in full where a sensor's memory refuses some."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class ModelGraph:
    """A model at hand as a graph."""

    held: "onnx.ModelProto" = field(repr=False)
    interior: frozenset[str] = frozenset()

    def model(self) -> "onnx.ModelProto":
        return self.held


def partition(
    model: "onnx.ModelProto",
    system: System,
    store: LutStore,
    *,
    name: str = "model",
    most_tensors: int = MOST_TENSORS,
    listed: int = LISTED,
    say: Say = lambda text: None,
) -> Partition:
    """Compare the ways to cut a model in two between the operators that the compiler runs together.

    Kernels of the model that the table does not know are measured once, on each of the system's devices that measures.
    All cuts are then compared by sums; the fastest are lowered as they would be compiled.

    Args:
        model: one input and one float32 output, with static shapes that begin with 1 (`export_partition`).
        system: devices and link.
        store: the latency table; what is measured is added.
        name: of the model, for people.
        most_tensors: that may cross.
        listed: how many cuts to look at in full, beside the two that leave all to one side.
        say: told of every step.

    Raises:
        ModelError: the model is of another kind, or cannot be compiled.
        DeviceError: a device's exporter names no kernels, or the device fails.
    """
    source, result = edges_of(model)
    known = _named_tensors(model)
    for side in SIDES:
        _measure_once(model, system, side, store, say)
    say("comparing cuts")
    predictors = {side: GraphPredictor(system.device(side), store) for side in SIDES}
    network, costs = network_and_costs(model, known, source, result, system, store, predictors)
    cuts = list_cuts(network, most_tensors)
    best = Cut.of(network, least_cost(network, costs.pieces["sensor"], costs.pieces["aggregator"], costs.us_per_byte))
    if len(best.crossing) <= most_tensors and all((best.sensor != cut.sensor).any() for cut in cuts):
        cuts.append(best)
    cuts.sort(key=costs.total_us)
    examine = _Examiner(model, source, result, system, predictors, costs)
    options = _examined(cuts, listed, examine)
    beyond = costs.total_us(best) if len(best.crossing) > most_tensors else None
    return Partition(
        name, system.name, options, len(cuts), most_tensors, beyond, costs.hop.label,
        {side: get_device(system.device(side)).label() for side in SIDES}, costs.fallback,
    )  # fmt: skip


def _measure_once(model: "onnx.ModelProto", system: System, side: Side, store: LutStore, say: Say) -> None:
    """Time the whole model on one side's device, unless all of its kernels are known there."""
    profile = system.device(side)
    predictor = GraphPredictor(profile, store)
    kernels = predictor.lowering.graph(ModelGraph(model))
    try:
        if predictor.known(kernels).all():
            return
    except DeviceError:  # nothing was measured yet
        pass
    say(f"measuring the model on {profile.name}")
    measure_graphs(store, profile, {f"model {side}": ModelGraph(model)})


def _examined(cuts: Sequence[Cut], listed: int, examine: "Callable[[Cut], Option]") -> tuple[Option, ...]:
    """The first so many splits that fit, and both ways without a split; fastest first, what does not fit last."""
    whole = [examine(cut) for cut in cuts if cut.placement != "split"]
    fitting, refused = list[Option](), list[Option]()
    for cut in [cut for cut in cuts if cut.placement == "split"][: TRIED * listed]:
        if len(fitting) == listed:
            break
        option = examine(cut)
        (fitting if option.fits else refused).append(option)
    found = [*fitting, *refused[: max(0, listed - len(fitting))], *whole]
    return tuple(sorted(found, key=lambda option: (not option.fits, option.total_us)))


@dataclass(frozen=True)
class _Examiner:
    """Looks at a cut in full."""

    model: "onnx.ModelProto"
    source: TensorSpec
    result: TensorSpec
    system: System
    predictors: Mapping[Side, GraphPredictor]
    costs: Costs

    def __call__(self, cut: Cut) -> Option:
        computed = [name for name in cut.crossing if name != self.source.name]
        models, crossing = halves_of(self.model, tuple(computed or cut.crossing), self.source.name, self.result.name)
        found = {side: self.predictors[side].predict(ModelGraph(half)) for side, half in models.items()}
        us = {side: found[side].latency_us if side in found else 0.0 for side in SIDES}
        kernels = {side: found[side].kernels if side in found else () for side in SIDES}
        timed = sum(sum(side.kernel_us) for side in found.values())
        measured = sum(side.measured_fraction * sum(side.kernel_us) for side in found.values())
        peak, held = self._memory(models)
        return Option(
            placement=cut.placement,
            crossing=crossing,
            payload_bytes=cut.payload_bytes,
            sensor_us=us["sensor"],
            link_us=float(self.costs.hop.link_us(float(cut.payload_bytes))),
            aggregator_us=us["aggregator"] + self.costs.hop.aggregator_us,
            sensor_peak_bytes=peak,
            sensor_weight_bytes=held,
            sensor_macs=sum(kernel.macs for kernel in kernels["sensor"]),
            aggregator_macs=sum(kernel.macs for kernel in kernels["aggregator"]),
            energy_uj=self._energy_uj(kernels, cut.payload_bytes),
            measured_fraction=measured / timed if timed else 1.0,
            fits=self._fits(peak, held),
        )

    def _memory(self, models: "Mapping[Side, onnx.ModelProto]") -> tuple[int, int]:
        """Working memory and weights of the sensor."""
        if "sensor" not in models:
            return self.source.bytes, 0
        exporter, target = self.predictors["sensor"].lowering.exporter, self.predictors["sensor"].lowering.target
        assert isinstance(exporter, KernelExporter)
        plan = exporter.plan_memory(models["sensor"], target)
        return plan.arena_bytes + plan.input_bytes + plan.output_bytes, plan.weight_bytes

    def _fits(self, peak: int, weights: int) -> bool:
        """As far as the profile says; code and stack come on top."""
        memory, flash = self.system.sensor.memory_bytes, self.system.sensor.flash_bytes
        return (memory is None or peak <= memory) and (flash is None or weights <= flash)

    def _energy_uj(self, kernels: Mapping[Side, Sequence[Kernel]], payload_bytes: int) -> float | None:
        """By the profiles' figures, if they have all of them."""
        if self.system.link.pj_per_byte is None:
            return None
        picojoules = payload_bytes * self.system.link.pj_per_byte
        for side, run in kernels.items():
            device = self.system.device(side)
            if device.pj_per_mac is None or device.pj_per_byte is None:
                return None
            for kernel in run:
                moved = kernel.read_bytes + kernel.write_bytes + kernel.weight_bytes
                picojoules += kernel.macs * device.pj_per_mac + moved * device.pj_per_byte
        return picojoules / 1e6


def _named_tensors(model: "onnx.ModelProto") -> dict[str, TensorSpec]:
    """Tensors of a model whose shape and type are known."""
    found = {}
    for name, value in value_infos(model).items():
        if value.type.HasField("tensor_type") and value.type.tensor_type.HasField("shape"):
            dims = value.type.tensor_type.shape.dim
            if all(dim.WhichOneof("value") == "dim_value" and dim.dim_value > 0 for dim in dims) and dims:
                found[name] = TensorSpec(name, tensor_shape(value), tensor_dtype(value))
    return found
