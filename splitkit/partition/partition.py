"""The best place to cut a model that somebody else made."""

from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from splitkit.bench.clock import TableClock
from splitkit.bench.graphs import measure_graphs
from splitkit.bundle.partition import edges_of
from splitkit.devices import get_device
from splitkit.errors import DeviceError
from splitkit.graphs.cut import tensor_dtype, tensor_shape
from splitkit.graphs.shapes import value_infos
from splitkit.latency.graph_predictor import GraphPredictor
from splitkit.latency.store import LutStore
from splitkit.partition.costs import network_and_costs
from splitkit.partition.cuts import Cut, cuts_of, least_memory, list_cuts
from splitkit.partition.examine import Examiner, ModelGraph
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


def partition(
    model: "onnx.ModelProto",
    system: System,
    store: LutStore,
    *,
    name: str = "model",
    most_tensors: int = MOST_TENSORS,
    listed: int = LISTED,
    measure: int = 0,
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
        measure: of how many of these, the fastest, to compile and time both halves, which then counts.
        say: told of every step.

    Raises:
        ModelError: the model is of another kind, or cannot be compiled.
        DeviceError: a device's exporter names no kernels, or the device fails.
    """
    edges_of(model)  # a model of another kind is better refused before it is measured
    known = named_tensors(model)
    for side in SIDES:
        _measure_once(model, system, side, store, say)
    say("comparing cuts")
    examiner = Examiner.of(model, system, store)
    network, costs = network_and_costs(examiner, known)
    cuts = list_cuts(network, most_tensors)
    sides = costs.pieces["sensor"], costs.pieces["aggregator"]
    [best] = cuts_of(network, least_cost(network, *sides, costs.us_per_byte)[None])
    if len(best.crossing) <= most_tensors and all((best.sensor != cut.sensor).any() for cut in cuts):
        cuts.append(best)
    cuts.sort(key=costs.total_us)
    memory = system.sensor.memory_bytes

    def hopeless(cut: Cut) -> bool:
        return memory is not None and least_memory(network, cut) > memory

    options = _examined(cuts, listed, hopeless, examiner.predict)
    if measure:
        options = _measured(options, measure, examiner, store, say)
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
    digest = sha256(" ".join(kernel.key for kernel in kernels).encode()).hexdigest()[:16]
    measure_graphs(store, profile, {digest: ModelGraph(model)})


def _examined(
    cuts: Sequence[Cut], listed: int, hopeless: Callable[[Cut], bool], examine: "Callable[[Cut], Option]"
) -> tuple[Option, ...]:
    """The first so many splits that fit, and both ways without a split; fastest first, what does not fit last.

    Of splits that are `hopeless` for the sensor's memory no more are looked at than fill the list.
    """
    whole = [examine(cut) for cut in cuts if cut.placement != "split"]
    splits = [cut for cut in cuts if cut.placement == "split"]
    fitting, refused = list[Option](), list[Option]()
    for cut in [cut for cut in splits if not hopeless(cut)][: TRIED * listed]:
        if len(fitting) == listed:
            break
        option = examine(cut)
        (fitting if option.fits else refused).append(option)
    wanted = max(0, listed - len(fitting) - len(refused))
    refused += [examine(cut) for cut in [cut for cut in splits if hopeless(cut)][:wanted]]
    found = [*fitting, *refused[: max(0, listed - len(fitting))], *whole]
    return tuple(sorted(found, key=_rank))


def _measured(
    options: Sequence[Option], count: int, examiner: Examiner, store: LutStore, say: Say
) -> tuple[Option, ...]:
    """The first `count` measured, and all ranked anew."""
    done = []
    with TemporaryDirectory(prefix="splitkit-") as scratch:
        clock = TableClock(store, Path(scratch))
        for number, option in enumerate(options[:count]):
            say(f"measuring cut {number + 1} of {min(count, len(options))}")
            done.append(examiner.measure(option, clock, Path(scratch) / f"cut-{number}"))
    return tuple(sorted([*done, *options[count:]], key=_rank))


def _rank(option: Option) -> tuple[bool, bool, float]:
    """What the sensor can hold first; of that what was measured, by its time, then what was predicted."""
    measured = option.measured_us is not None
    return not option.fits, not measured, option.total_us if option.measured_us is None else option.measured_us


def named_tensors(model: "onnx.ModelProto") -> dict[str, TensorSpec]:
    """Tensors of a model whose shape and type are known."""
    found = {}
    for name, value in value_infos(model).items():
        if value.type.HasField("tensor_type") and value.type.tensor_type.HasField("shape"):
            dims = value.type.tensor_type.shape.dim
            if all(dim.WhichOneof("value") == "dim_value" and dim.dim_value > 0 for dim in dims) and dims:
                found[name] = TensorSpec(name, tensor_shape(value), tensor_dtype(value))
    return found
