"""The best place to cut a model that somebody else made."""

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from splitkit.bench.clock import TableClock
from splitkit.devices import get_device
from splitkit.graphs.edges import Edges
from splitkit.graphs.narrow import LinkDtype
from splitkit.latency.store import LutStore
from splitkit.partition.costs import network_and_costs
from splitkit.partition.cuts import Cut, cuts_of, least_memory, list_cuts
from splitkit.partition.examine import Examiner
from splitkit.partition.measuring import measure_once, named_tensors
from splitkit.partition.mincut import least_cost
from splitkit.partition.options import Option, Partition
from splitkit.partition.views import subject_of
from splitkit.profiles.schema import System
from splitkit.sides import SIDES

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
    link_dtype: LinkDtype | None = None,
    aggregator_inputs: Sequence[str] = (),
    views: int = 1,
    join: Sequence[str] = (),
    say: Say = lambda text: None,
) -> Partition:
    """Compare the ways to cut a model in two between the operators that the compiler runs together.

    Kernels of the model that the table does not know are measured once, on each of the system's devices that measures.
    All cuts are then compared by sums; the fastest are lowered as they would be compiled.

    Args:
        model: with static shapes; what the sensor captures is uint8, float16 or float32.
        system: devices and link.
        store: the latency table; what is measured is added.
        name: of the model, for people.
        most_tensors: that may cross.
        listed: how many cuts to look at in full, beside the two that leave all to one side.
        measure: of how many of these, the fastest, to compile and time both halves, which then counts.
        link_dtype: what computed float32 tensors are sent as; the operators around the link are counted in.
        aggregator_inputs: inputs that the aggregator has by itself, of any dtype; the sensor captures all others.
        views: how many sensors there are, each of which captures one of the other inputs.
        join: for several views, tensors of any one up to which they go through the same operators with the same
            weights; cuts are listed up to there.
        say: told of every step.

    Raises:
        ModelError: the model is of another kind, has no such input, other views or views that differ, or cannot be
            compiled.
        DeviceError: a device's exporter names no kernels, or the device fails.
    """
    edges = Edges.of(model, aggregator_inputs)  # a model of another kind is better refused before it is measured
    subject = subject_of(model, edges, views, join)
    known = named_tensors(subject.branch)
    measure_once(subject.branch, system.sensor, store, say)
    measure_once(subject.whole, system.aggregator, store, say)
    say("comparing cuts")
    examiner = Examiner.of(subject, system, store, link_dtype)
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
        {side: get_device(system.device(side)).label() for side in SIDES}, costs.fallback, link_dtype or "float32",
        edges.own_names, views, subject.edges.result_names if views > 1 else (),
    )  # fmt: skip


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
