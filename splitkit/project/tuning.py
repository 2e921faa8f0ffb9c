"""Tuning as steps of the loop: the kernels of a space, or of one network, into the file beside the latency table."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from splitkit.graphs.graph import RenderedGraph
from splitkit.project.config import Project
from splitkit.project.run import Run

if TYPE_CHECKING:
    from splitkit.graphs.graph import Graph
    from splitkit.sides import Side
    from splitkit.space import Architecture
    from splitkit.tuning.search import Progress, TuneReport


def tune_space(project: Project, side: "Side", budget_s: float, progress: "Progress") -> "TuneReport":
    """Tune kernels of one side in networks drawn from the space, until the budget is spent.

    Raises:
        DeviceError: the side's device or exporter has nothing to tune.
    """
    from splitkit.tuning.search import tune

    return tune(
        _drawn(project, side), project.load_system().device(side), Run.of(project).tuning, budget_s, progress
    )  # fmt: skip


def _drawn(project: Project, side: "Side") -> "Iterator[Graph]":
    import numpy as np

    from splitkit.space import Sampler, describe

    space = project.load_space()
    sampler = Sampler(space, np.random.default_rng(project.seed))
    while True:
        if operators := describe(space, sampler.uniform()).operators(side):
            yield RenderedGraph(tuple(operators))


def tune_architecture(
    project: Project, architecture: "Architecture", budget_s: float, progress: "Progress"
) -> "dict[Side, TuneReport]":
    """Tune the kernels of both halves of a network for export, half of the budget each; an empty side is left out.

    Raises:
        DeviceError: a side's device or exporter has nothing to tune.
    """
    from splitkit.space import describe
    from splitkit.tuning.search import tune

    system, network = project.load_system(), describe(project.load_space(), architecture)
    sides: tuple[Side, Side] = ("sensor", "aggregator")
    halves = {side: operators for side in sides if (operators := network.operators(side))}
    return {
        side: tune(
            [RenderedGraph(tuple(operators))],
            system.device(side),
            Run.of(project).export_tuning,
            budget_s / len(halves),
            progress,
        )
        for side, operators in halves.items()
    }
