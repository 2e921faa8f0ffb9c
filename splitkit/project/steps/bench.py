"""Measuring: kernels of a space into the latency table, and what lies between the halves."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from splitkit.project.config import Project
from splitkit.project.run import Run
from splitkit.project.runtimes import require_kernels

if TYPE_CHECKING:
    from splitkit.bench.progress import BuildReport
    from splitkit.bench.progress import Progress as BuildProgress
    from splitkit.latency.hop import Hop
    from splitkit.sides import Side


def bench_step(
    project: Project,
    sides: Sequence["Side"],
    budget_s: float | None,
    progress: "BuildProgress",
    *,
    tracker: str | None = None,
    key: str | None = None,
) -> dict[str, "BuildReport"]:
    """Measure kernels of the space on the devices of these sides, most useful first, into the latency table.

    Where the system runs on this machine, also what its processes add to every frame, once.

    `tracker` and `key` replace those of profiles of kind `rpc`.

    Raises:
        ConfigError: a side's runtime does not name its kernels, or is not a board that a tracker finds.
        DeviceError: a side's device fails, or none of its boards is left.
        LinkError: the processes that play the system fail.
    """
    from splitkit.bench.networks import build_from_space
    from splitkit.devices.rpc.options import behind_tracker
    from splitkit.latency.store import LutStore
    from splitkit.runtime.calibration import calibrate

    run, space, system = Run.of(project), project.load_space(), project.load_system()
    require_kernels(system, sides)
    for side in sides:
        system = system.model_copy(update={side: behind_tracker(system.device(side), tracker, key)})
    run.lut.parent.mkdir(parents=True, exist_ok=True)
    with LutStore(run.lut) as store:
        reports: dict[str, BuildReport] = {
            side: build_from_space(
                store, space, system, side, budget_s=budget_s, seed=project.seed, progress=progress
            )
            for side in sides
        }  # fmt: skip
        calibrate(store, system, space.views)
    return reports


def hop_of(project: Project) -> "Hop":
    """What lies between the halves of the project's system, as its latency table has it."""
    from splitkit.latency.hop import Hop
    from splitkit.latency.store import LutStore

    with LutStore(Run.of(project).lut) as store:
        return Hop.of(store, project.load_system(), project.load_space().views)
