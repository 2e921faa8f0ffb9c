"""Networks that a table was not built from: drawn at random, compiled, and timed whole, again and again."""

import tempfile
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from report import status
from splitkit.bench import TableClock
from splitkit.bench.anchor import Anchor
from splitkit.bench.measure import compile_for
from splitkit.devices import Device, Timing
from splitkit.exporters.protocol import Artifact
from splitkit.graphs.graph import RenderedGraph
from splitkit.latency import LutStore
from splitkit.space import Architecture, Sampler, SearchSpace
from splitkit.space.operators import Operator

FloatArray = NDArray[np.float64]
Name = TypeVar("Name", bound=Hashable)


@dataclass(frozen=True)
class Timed:
    """Of one network: undisturbed us of all its runs, at the clock of the table, and as the clock happened to be."""

    us: float
    us_any_clock: float


def draw(space: SearchSpace, count: int, seed: int) -> list[Architecture]:
    """Distinct uniform architectures, all on the aggregator."""
    sampler = Sampler(space.restricted("aggregator"), np.random.default_rng(seed))
    found: dict[Architecture, None] = {}
    while len(found) < count:
        found[sampler.uniform()] = None
    return list(found)


def time_graphs(
    device: Device,
    graphs: Mapping[Name, tuple[Operator, ...]],
    store: LutStore,
    *,
    passes: int,
    rounds: int,
    runs: int,
) -> list[dict[Name, Timed]]:
    """Compile all, then time all of them in turn, `rounds` times `runs` runs each, `passes` times over."""
    with tempfile.TemporaryDirectory() as scratch:
        anchor = TableClock(store, Path(scratch)).anchor(device.profile)
        artifacts: dict[Name, Artifact] = {}
        for i, (name, operators) in enumerate(graphs.items()):
            artifacts[name] = compile_for(device, "tvm", RenderedGraph(tuple(operators)), Path(scratch) / str(i))
            status(f"compiled {i + 1} of {len(graphs)} held-out graphs")
        return [_one_pass(device, artifacts, anchor, rounds, runs) for _ in range(passes)]


def _one_pass(
    device: Device, artifacts: Mapping[Name, Artifact], anchor: Anchor, rounds: int, runs: int
) -> dict[Name, Timed]:
    samples: dict[Name, list[tuple[FloatArray, float]]] = {name: [] for name in artifacts}
    for done in range(rounds):
        for name, artifact in artifacts.items():
            samples[name].append(anchor.steady(lambda: device.time_graph(artifact, repeats=runs).samples))  # noqa: B023
        status(f"round {done + 1} of {rounds}")
    return {
        name: Timed(
            Timing(np.concatenate([us / drift for us, drift in found])).undisturbed,
            Timing(np.concatenate([us for us, _ in found])).undisturbed,
        )
        for name, found in samples.items()
    }
