"""A cut looked at in full: its halves as they would be compiled."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from splitkit.bench.clock import TableClock
from splitkit.bench.measure import measure_graph
from splitkit.bundle.partition import edges_of, halves_of
from splitkit.compiler.kernel import Kernel
from splitkit.exporters.protocol import KernelExporter
from splitkit.graphs.narrow import LinkDtype, narrowed
from splitkit.latency.graph_predictor import GraphPredictor
from splitkit.latency.hop import Hop
from splitkit.latency.store import LutStore
from splitkit.partition.cuts import Cut
from splitkit.partition.options import Option
from splitkit.profiles.schema import System
from splitkit.sides import SIDES, Side
from splitkit.space.tensor import TensorSpec

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class ModelGraph:
    """A model at hand as a graph."""

    held: "onnx.ModelProto" = field(repr=False)
    interior: frozenset[str] = frozenset()

    def model(self) -> "onnx.ModelProto":
        return self.held


@dataclass(frozen=True)
class Examiner:
    """Looks at cuts of one model on one system in full.

    Attributes:
        source, result: the model's input and output.
        predictors: by side.
        hop: what lies between the sides.
        link_dtype: what computed float32 tensors are sent as, if not as they are.
    """

    model: "onnx.ModelProto"
    source: TensorSpec
    result: TensorSpec
    system: System
    predictors: Mapping[Side, GraphPredictor]
    hop: Hop
    link_dtype: LinkDtype | None = None

    @classmethod
    def of(cls, model: "onnx.ModelProto", system: System, store: LutStore, link_dtype: LinkDtype | None = None) -> Self:
        """With times as the table has them now.

        Raises:
            ModelError: the model has several inputs or outputs, or others than can be partitioned.
        """
        source, result = edges_of(model)
        predictors = {side: GraphPredictor(system.device(side), store) for side in SIDES}
        return cls(model, source, result, system, predictors, Hop.of(store, system, 1), link_dtype)

    def halves(self, crossing: Sequence[str]) -> "tuple[dict[Side, onnx.ModelProto], tuple[str, ...]]":
        """The halves of a cut that sends these tensors, and the model's tensors that cross, as the halves have them."""
        at = tuple(name for name in crossing if name != self.source.name) or tuple(crossing)
        model, origins = self.model, dict[str, str]()
        if self.link_dtype and at not in ((self.source.name,), (self.result.name,)):
            found = narrowed(model, at, self.link_dtype)
            model, origins = found.model, {sent: name for name, sent in found.sent.items()}
            at = found.at(at)
        halves, names = halves_of(model, at, self.source.name, self.result.name)
        return halves, tuple(origins.get(name, name) for name in names)

    def predict(self, cut: Cut) -> Option:
        """Both halves lowered as they would be compiled, and predicted."""
        models, crossing = self.halves(cut.crossing)
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
            link_us=float(self.hop.link_us(float(cut.payload_bytes))),
            aggregator_us=us["aggregator"] + self.hop.aggregator_us,
            sensor_peak_bytes=peak,
            sensor_weight_bytes=held,
            sensor_macs=sum(kernel.macs for kernel in kernels["sensor"]),
            aggregator_macs=sum(kernel.macs for kernel in kernels["aggregator"]),
            energy_uj=self._energy_uj(kernels, cut.payload_bytes),
            measured_fraction=measured / timed if timed else 1.0,
            fits=self._fits(peak, held),
        )

    def measure(self, option: Option, clock: TableClock, directory: Path) -> Option:
        """The same option, with both halves compiled into `directory` and timed, the link as it is predicted."""
        models, _ = self.halves(option.crossing)
        timed = [
            measure_graph(ModelGraph(half), self.system.device(side), directory / side, clock=clock).graph_us
            for side, half in models.items()
        ]
        return replace(option, measured_us=sum(timed) + option.link_us + self.hop.aggregator_us)

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
