"""What pieces cost on either side, as a latency table has it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from splitkit.errors import DeviceError
from splitkit.exporters.protocol import PartingExporter
from splitkit.latency.graph_predictor import FloatArray, GraphPredictor
from splitkit.latency.hop import Hop
from splitkit.partition.cuts import Cut
from splitkit.partition.examine import Examiner, ModelGraph
from splitkit.partition.network import Network
from splitkit.sides import SIDES, Side
from splitkit.space.tensor import TensorSpec

if TYPE_CHECKING:
    import onnx

    from splitkit.compiler.frontend import LoweredPart


@dataclass(frozen=True)
class Costs:
    """Of the pieces of one network on one system; times in us.

    Attributes:
        pieces: by side, of each piece with the steps from kernel to kernel, (pieces,); on the aggregator of all views.
        entering: by side, of a graph whatever is in it.
        fallback: by side, the share of all kernels' time in operators without a schedule of ours.
        hop: the link, and what the runtime adds.
        rest_us: of what the aggregator computes in any case; None where there is nothing.
    """

    pieces: Mapping[Side, FloatArray]
    entering: Mapping[Side, float]
    fallback: Mapping[Side, float]
    hop: Hop
    rest_us: float | None = None

    def total_us(self, cut: Cut) -> float:
        """The time of one frame, but for what changes at the edges: tensors brought into a link's layout."""
        sensor, sent = cut.sensor, float(cut.payload_bytes)
        total = self.pieces["sensor"][sensor].sum() + self.pieces["aggregator"][~sensor].sum()
        left = bool((~sensor).any()) or self.rest_us is not None
        total += self.entering["sensor"] * bool(sensor.any()) + self.entering["aggregator"] * left
        total += self.rest_us or 0.0
        return float(total + self.hop.link_us(sent) + self.hop.aggregator_us)

    @property
    def us_per_byte(self) -> float:
        """What one more byte over the link takes."""
        return float(self.hop.link_us(2.0**20) - self.hop.link_us(0.0)) / 2**20


def parts_on(predictor: GraphPredictor, model: "onnx.ModelProto", device: str) -> "tuple[LoweredPart, ...]":
    """What the compiler makes of a model for a predictor's device.

    Raises:
        DeviceError: its exporter cannot say of which operators kernels were made.
        ModelError: the model cannot be compiled.
    """
    exporter = predictor.lowering.exporter
    if not isinstance(exporter, PartingExporter):
        raise DeviceError(
            f"device {device}: exporter {exporter.name} cannot say which operators run together",
            "use one that can, such as tvm",
        )
    return exporter.lower_parts(model, predictor.lowering.target)


def pieces_us(
    predictor: GraphPredictor, parts: "Sequence[LoweredPart]", piece_of: Sequence[int]
) -> tuple[FloatArray, float]:
    """Time of each piece with the steps from kernel to kernel, (pieces,), and the share of it in TVM's default kernels.

    Raises:
        DeviceError: kernels are missing and cannot be estimated.
    """
    kernels = [kernel for part in parts for kernel in part.kernels]
    owner = np.repeat(piece_of, [len(part.kernels) for part in parts]).astype(np.int64)
    us = predictor.in_network_us(kernels)
    default = np.array([kernel.family == "fallback" for kernel in kernels])
    each: FloatArray = us + predictor.per_kernel_us
    found = np.bincount(owner, each, max(piece_of) + 1)
    return np.asarray(found, dtype=np.float64), float(us[default].sum() / us.sum())


def network_and_costs(examiner: Examiner, known: Mapping[str, TensorSpec]) -> tuple[Network, Costs]:
    """The pieces of a model, or of one view's branch of it, and what each costs on either side.

    Args:
        examiner: of the model on a system.
        known: tensors of the branch, by name.

    Raises:
        DeviceError: as `parts_on`, or kernels are missing and cannot be estimated.
        ModelError: the model cannot be compiled.
    """
    system, predictors, subject = examiner.system, examiner.predictors, examiner.subject
    parts = {side: parts_on(predictors[side], subject.branch, system.device(side).name) for side in SIDES}
    ours, theirs = ([(part.reads, part.writes) for part in parts[side]] for side in SIDES)
    if ours != theirs:
        raise DeviceError(
            f"system {system.name}: its two exporters do not run the same operators together",
            "use one exporter, or two of the same compiler",
        )
    known = {name: tensor for name, tensor in known.items() if subject.can_cross(tensor)}
    network, piece_of = Network.of(parts["sensor"], known, subject.edges, examiner.link_dtype or "float32")
    pieces: dict[Side, FloatArray] = {}
    fallback: dict[Side, float] = {}
    for side, predictor in predictors.items():
        pieces[side], fallback[side] = pieces_us(predictor, parts[side], piece_of)
    entering = {side: predictor.per_graph_us for side, predictor in predictors.items()}
    rest_us = None
    if subject.views > 1:  # what is left of the whole's time
        pieces["aggregator"] = pieces["aggregator"] * subject.views
        alone = ModelGraph(subject.placed(subject.edges.captured_names).models["aggregator"])
        left = predictors["aggregator"].predict(alone).latency_us - entering["aggregator"]
        rest_us = max(0.0, left - float(pieces["aggregator"].sum()))
    return network, Costs(pieces, entering, fallback, examiner.hop, rest_us)
