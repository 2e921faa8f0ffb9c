"""Fill the table from a search space: time kernels where they stand, in sub-networks chosen to teach the most.

A kernel timed alone meets other caches than in a network, so here whole sub-networks are compiled and each of their
kernels is timed in place. `choosing` says which, `pipeline` compiles ahead and measures, `recording` commits: every
network is one transaction. Stopped and started again, building goes on where it was. The whole graphs' times say what
dispatch costs.
"""

import time
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

from splitkit.bench.building import Building
from splitkit.bench.choosing import Chooser
from splitkit.bench.pipeline import Pipeline
from splitkit.bench.progress import BuildReport, Progress
from splitkit.bench.session import kernel_exporter
from splitkit.devices import get_device
from splitkit.latency.kernel_times import conditions_of
from splitkit.latency.rows import Conditions
from splitkit.latency.store import LutStore
from splitkit.profiles.schema import System
from splitkit.sides import Side
from splitkit.space import Architecture, SearchSpace

ENOUGH = 0.98
"""Share of the weight of all units drawn at which a table counts as complete."""


def build_from_space(
    store: LutStore,
    space: SearchSpace,
    system: System,
    side: Side,
    *,
    budget_s: float | None = None,
    networks: int | None = None,
    coverage: float = ENOUGH,
    exclude: Iterable[Architecture] = (),
    seed: int = 0,
    progress: Progress = lambda _: None,
) -> BuildReport:
    """Measure sub-networks of `space` on the device of one side until the table covers it.

    Where both sides' devices measure under the same conditions (the same hardware, whatever their time scales), one
    table serves both and graphs of both sides are measured. Where the device stands for several boards, all are used.
    Counts in the report are kernels, in the progress units.

    Args:
        budget_s: start no measurement later than this, but for the very first.
        networks: measure at most this many.
        coverage: stop when units of this share of the weight are covered.
        exclude: never measure these (held out to judge the table).

    Raises:
        DeviceError: the exporter cannot time kernels in place; the device fails; no board is left.
    """
    start = time.monotonic()
    profile = system.device(side).unscaled()
    device = get_device(profile)
    if device.kernel_model:
        return BuildReport(0, 0, 0, 0, 0.0)
    kernel_exporter(profile.exporter)
    condition = conditions_of(device, profile.exporter)
    sides = _sides_alike(system, side, condition)
    with TemporaryDirectory(prefix="splitkit-") as workdir:
        chooser = Chooser.draw(space, sides, exclude, seed)
        building = Building(
            store, space, sides, device, condition, chooser, Path(workdir),
            coverage=coverage, limit=networks, budget_s=budget_s, progress=progress,
        )  # fmt: skip
        pipeline = Pipeline(device, device.target(), building)
        try:
            pipeline.run(float("inf") if budget_s is None else start + budget_s)
        finally:
            if device.pool:
                device.pool.close()
    known, wanted = chooser.progress()
    recorder = building.recorder
    return BuildReport(
        measured=len(recorder.known()) - recorder.reused,
        reused=recorder.reused,
        missing=wanted - known,
        flagged=recorder.flagged,
        seconds=time.monotonic() - start,
        networks=recorder.networks,
        coverage=chooser.covered,
        boards=dict(recorder.boards),
        trouble=pipeline.trouble,
        left_out=pipeline.left_out,
        lost=pipeline.lost,
    )


def _sides_alike(system: System, asked: Side, condition: Conditions) -> tuple[Side, ...]:
    """Sides that measure under one set of conditions. A pool of boards is asked for no more than its own."""
    alike: list[Side] = []
    sides: tuple[Side, Side] = ("sensor", "aggregator")
    own = system.device(asked).unscaled()
    for side in sides:
        profile = system.device(side).unscaled()
        same = profile.model_copy(update={"name": own.name}) == own
        if same or (profile.kind == own.kind and conditions_of(get_device(profile), profile.exporter) == condition):
            alike.append(side)
    return tuple(alike)
