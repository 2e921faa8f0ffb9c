"""A model shared among more than two processors in a row: sensor, hubs, aggregator."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from splitkit.devices import get_device
from splitkit.errors import ConfigError, DeviceError
from splitkit.graphs.edges import Edges
from splitkit.latency.graph_predictor import FloatArray, GraphPredictor
from splitkit.latency.store import LutStore
from splitkit.partition.costs import parts_on, pieces_us
from splitkit.partition.cuts import Cut, least_memory, list_cuts
from splitkit.partition.measuring import measure_once, named_tensors
from splitkit.partition.network import Network
from splitkit.profiles.schema import DeviceProfile, LinkProfile, System

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class Stage:
    """One processor's part.

    Attributes:
        device, label: its profile, and what its time is.
        us: of one frame; 0 where it only passes on.
        pieces: how many of the model's pieces it computes.
        sent: tensors that it sends on, by their names in the model; none from the last one.
        payload_bytes, link_us: of them.
    """

    device: str
    label: str
    us: float
    pieces: int
    sent: tuple[str, ...]
    payload_bytes: int
    link_us: float


@dataclass(frozen=True)
class Chain:
    """The best way to share a model among a system's processors, all of them in a row.

    Attributes:
        model, system: names.
        stages: from the sensor to the aggregator.
        listed: places at which it could be cut.
    """

    model: str
    system: str
    stages: tuple[Stage, ...]
    listed: int

    @property
    def total_us(self) -> float:
        """Of one frame."""
        return sum(stage.us + stage.link_us for stage in self.stages)

    def to_json(self) -> dict[str, Any]:
        """Everything."""
        return asdict(self) | {"schema_version": 1, "total_us": self.total_us}


def partition_chain(
    model: "onnx.ModelProto",
    system: System,
    store: LutStore,
    *,
    name: str = "model",
    most_tensors: int = 4,
    aggregator_inputs: Sequence[str] = (),
    say: Callable[[str], None] = lambda text: None,
) -> Chain:
    """Share a model among sensor, hubs and aggregator, so that a frame's time is least.

    Processors work one after the other; one that computes nothing passes on what it gets, over both of its links.
    Between the listed cuts the choice is exact (`best_chain`); what changes at the edges of graphs is not counted in.

    Args:
        model: as `partition` takes it.
        system: with hubs.
        store: the latency table; kernels that it does not know are measured once, on each device that measures.
        most_tensors: that may cross a link.
        aggregator_inputs: as `partition` takes them; hubs have none of them either.

    Raises:
        ConfigError: the system has no hubs.
        ModelError: the model is of another kind, or cannot be compiled.
        DeviceError: exporters name no kernels or run different operators together, or a device fails.
    """
    if not system.hubs:
        raise ConfigError(f"system {system.name} has two processors", "list others in [[hubs]], or leave out --stages")
    edges = Edges.of(model, aggregator_inputs)
    profiles = [system.sensor, *(hub.device for hub in system.hubs), system.aggregator]
    links = [*(hub.link for hub in system.hubs), system.link]
    for profile in profiles:
        measure_once(model, profile, store, say)
    say("comparing cuts")
    predictors = [GraphPredictor(profile, store) for profile in profiles]
    parts = [parts_on(p, model, profile.name) for p, profile in zip(predictors, profiles, strict=True)]
    if any([(q.reads, q.writes) for q in each] != [(q.reads, q.writes) for q in parts[0]] for each in parts):
        raise DeviceError(
            f"system {system.name}: its exporters do not run the same operators together", "use those of one compiler"
        )
    network, piece_of = Network.of(parts[0], named_tensors(model), edges)
    times = [pieces_us(predictor, each, piece_of)[0] for predictor, each in zip(predictors, parts, strict=True)]
    memory = system.sensor.memory_bytes
    cuts = list_cuts(network, most_tensors)
    if network.aggregators.any():
        cuts.append(Cut(np.ones_like(network.aggregators), (), 0))  # what there is in the end
    possible = [not (cut.sensor & network.aggregators).any() for cut in cuts]
    fits = [memory is None or least_memory(network, cut) <= memory for cut in cuts]
    before = [[a and b for a, b in zip(possible, fits, strict=True)], *[possible] * len(system.hubs)]
    chosen = best_chain(cuts, times, [p.per_graph_us for p in predictors], links, before)
    return Chain(name, system.name, _stages(cuts, chosen, profiles, predictors, times, links), len(cuts))


def best_chain(
    cuts: Sequence[Cut],
    times: Sequence[FloatArray],
    entering: Sequence[float],
    links: Sequence[LinkProfile],
    possible: Sequence[Sequence[bool]] | None = None,
) -> list[int]:
    """Which of the cuts to make after each processor but the last: dynamic programming over nested cuts.

    Each processor computes what its cut gives to it and those before it, less what those before it have.

    Args:
        cuts: places to cut, the one that leaves everything to the last processor and the one that leaves it nothing
            among them.
        times: by processor, us of each piece, (pieces,).
        entering: by processor, us of a graph whatever is in it.
        links: between them, one fewer.
        possible: by processor but the last, which cuts may be made after it; all by default.
    """
    held = np.array([cut.sensor for cut in cuts], dtype=np.float64)
    payload = [float(cut.payload_bytes) for cut in cuts]
    nested = (held @ (1 - held).T) == 0  # [a, b]: all of a is in b
    apart = ~np.eye(len(cuts), dtype=np.bool_)
    nothing = int(np.argmin(held.sum(axis=1)))
    best: FloatArray = np.where(np.arange(len(cuts)) == nothing, 0.0, np.inf)
    came_from = []
    for i, (us, graph_us) in enumerate(zip(times, entering, strict=True)):
        sums = held @ us
        options = np.where(nested, best[:, None] + sums[None] - sums[:, None] + graph_us * apart, np.inf)
        came_from.append(options.argmin(axis=0))
        best = options.min(axis=0)
        if i < len(links):
            best = best + [float(links[i].latency_us(count)) for count in payload]
        if i < len(links) and possible is not None:
            best = np.where(possible[i], best, np.inf)
    at = int(np.argmax(held.sum(axis=1)))
    path = []
    for previous in reversed(came_from):
        at = int(previous[at])
        path.append(at)
    return path[::-1][1:]


def _stages(
    cuts: Sequence[Cut],
    chosen: Sequence[int],
    profiles: Sequence[DeviceProfile],
    predictors: Sequence[GraphPredictor],
    times: Sequence[FloatArray],
    links: Sequence[LinkProfile],
) -> tuple[Stage, ...]:
    everything = np.ones(len(cuts[0].sensor), dtype=np.bool_)
    before = ~everything
    stages = []
    for i, profile in enumerate(profiles):
        cut = cuts[chosen[i]] if i < len(chosen) else None
        until = everything if cut is None else cut.sensor
        own = until & ~before
        us = float(times[i][own].sum()) + predictors[i].per_graph_us * bool(own.any())
        sent = (cut.crossing, cut.payload_bytes, float(links[i].latency_us(cut.payload_bytes))) if cut else ((), 0, 0.0)
        stages.append(Stage(profile.name, get_device(profile).label(), us, int(own.sum()), *sent))
        before = until
    return tuple(stages)
