"""A cut looked at in full: its halves as they would be compiled."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from splitkit.bench.clock import TableClock
from splitkit.bench.measure import measure_graph
from splitkit.compiler.kernel import Kernel
from splitkit.exporters.protocol import KernelExporter
from splitkit.graphs.narrow import LinkDtype
from splitkit.graphs.placement import Placement
from splitkit.graphs.subject import Subject
from splitkit.latency.graph_predictor import GraphPredictor
from splitkit.latency.hop import Hop
from splitkit.latency.store import LutStore
from splitkit.partition.cuts import Cut
from splitkit.partition.options import Option
from splitkit.profiles.schema import System
from splitkit.sides import SIDES, Side

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
        subject: the model, and how many views go through it.
        predictors: by side.
        hop: what lies between the sides.
        link_dtype: what computed float32 tensors are sent as, if not as they are.
    """

    subject: Subject
    system: System
    predictors: Mapping[Side, GraphPredictor]
    hop: Hop
    link_dtype: LinkDtype | None = None

    @classmethod
    def of(cls, subject: Subject, system: System, store: LutStore, link_dtype: LinkDtype | None = None) -> Self:
        """With times as the table has them now."""
        predictors = {side: GraphPredictor(system.device(side), store) for side in SIDES}
        return cls(subject, system, predictors, Hop.of(store, system, subject.views), link_dtype)

    def halves(self, crossing: Sequence[str]) -> Placement:
        """The halves of a cut that sends these tensors; what crosses, by its name in the model, in their order."""
        if self.link_dtype is None:
            return self.subject.placed(crossing)
        subject, sent = self.subject.lightened(crossing, self.link_dtype)
        names = {new: name for name, new in sent.items()}
        found = subject.placed([sent.get(name, name) for name in crossing])
        return Placement(found.models, tuple(names.get(name, name) for name in found.crossing))

    def predict(self, cut: Cut) -> Option:
        """Both halves lowered as they would be compiled, and predicted."""
        halves = self.halves(cut.crossing)
        models = halves.models
        found = {side: self.predictors[side].predict(ModelGraph(half)) for side, half in models.items()}
        us = {side: found[side].latency_us if side in found else 0.0 for side in SIDES}
        kernels = {side: found[side].kernels if side in found else () for side in SIDES}
        timed = sum(sum(side.kernel_us) for side in found.values())
        measured = sum(side.measured_fraction * sum(side.kernel_us) for side in found.values())
        peak, held = self._memory(halves)
        return Option(
            placement="split" if len(models) == 2 else next(iter(models)),
            crossing=halves.crossing,
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
        timed = [
            measure_graph(ModelGraph(half), self.system.device(side), directory / side, clock=clock).graph_us
            for side, half in self.halves(option.crossing).models.items()
        ]
        return replace(option, measured_us=sum(timed) + option.link_us + self.hop.aggregator_us)

    def _memory(self, halves: Placement) -> tuple[int, int]:
        """Working memory and weights of the sensor, which holds what it sends as it is even if it reads none of it."""
        if "sensor" not in halves.models:
            return self.subject.edges.captured_bytes, 0
        model = halves.models["sensor"]
        read = {value.name for value in model.graph.input}
        kept = sum(t.bytes for t in self.subject.edges.captured if t.name in halves.crossing and t.name not in read)
        exporter, target = self.predictors["sensor"].lowering.exporter, self.predictors["sensor"].lowering.target
        assert isinstance(exporter, KernelExporter)
        plan = exporter.plan_memory(model, target)
        return plan.arena_bytes + plan.input_bytes + plan.output_bytes + kept, plan.weight_bytes

    def _fits(self, peak: int, weights: int) -> bool:
        """As far as the profile says; code and stack come on top."""
        memory, flash = self.system.sensor.memory_bytes, self.system.sensor.flash_bytes
        return (memory is None or peak <= memory) and (flash is None or weights <= flash)

    def _energy_uj(self, kernels: Mapping[Side, Sequence[Kernel]], payload_bytes: int) -> float | None:
        """Of all sensors and the aggregator, by the profiles' figures, if they have all of them."""
        if self.system.link.pj_per_byte is None:
            return None
        times: dict[Side, int] = {"sensor": self.subject.views, "aggregator": 1}
        picojoules = self.subject.views * payload_bytes * self.system.link.pj_per_byte
        for side, run in kernels.items():
            device = self.system.device(side)
            if device.pj_per_mac is None or device.pj_per_byte is None:
                return None
            for kernel in run:
                moved = kernel.read_bytes + kernel.write_bytes + kernel.weight_bytes
                picojoules += times[side] * (kernel.macs * device.pj_per_mac + moved * device.pj_per_byte)
        return picojoules / 1e6
