"""How well the lookup table predicts instructions of sub-networks it was not built from, on emulated microcontrollers.

Per board: the table is built from sub-networks of the space, sensor side, until it covers the space or the budget
ends; held-out sub-networks are then compiled, run in a firmware under QEMU, and one run's instructions are counted.
Everything is a count under emulation, not a time: the same in every run, so that the machine may be busy meanwhile.

`additive_error` is what adding up a held-out network's own kernels leaves unexplained: the floor of any prediction.
`counts_that_differ` is how many of three networks compiled and counted again gave another count (0: they reproduce).
`largest_place_spread` is by how much one kernel's count differs between the networks it stands in.

    python benchmarks/mcu_prediction.py [--space tiny] [--networks 30] [--budget 420] [--boards stm32h743,alif-e3-hp]
"""

import argparse
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from report import emit
from splitkit.bench import BuildProgress, build_from_space
from splitkit.bench.measure import compile_for
from splitkit.devices import get_device
from splitkit.devices.qemu_system import QemuSystemDevice
from splitkit.devices.qemu_system.counts import Counts
from splitkit.exporters.protocol import Artifact
from splitkit.graphs.graph import RenderedGraph
from splitkit.latency import LutStore, SystemPredictor
from splitkit.latency.kernel_times import conditions_of
from splitkit.profiles import load_device, load_link
from splitkit.profiles.schema import System
from splitkit.space import Architecture, Sampler, SearchSpace, describe, load_space

BOARDS = ("stm32h743", "alif-e3-hp")
AGAIN = 3
"""Held-out networks that are measured a second time, by a device of its own."""


def draw(space: SearchSpace, count: int, seed: int) -> list[Architecture]:
    """Distinct uniform architectures with something to compute on the sensor."""
    sampler = Sampler(space, np.random.default_rng(seed))
    found: dict[Architecture, None] = {}
    while len(found) < count:
        architecture = sampler.uniform()
        if describe(space, architecture).operators("sensor"):
            found[architecture] = None
    return list(found)


def count_all(
    space: SearchSpace, device: QemuSystemDevice, networks: Sequence[Architecture], title: str
) -> list[tuple[Artifact, Counts]]:
    """The sensor's half of each network, compiled and counted."""
    found = []
    for i, network in enumerate(networks):
        with tempfile.TemporaryDirectory() as scratch:
            operators = describe(space, network).operators("sensor")
            artifact = compile_for(
                device, device.profile.exporter, RenderedGraph(tuple(operators)), Path(scratch) / "sensor"
            )
            found.append((artifact, device.count(artifact)))
        status(f"{device.profile.name}: {title} {i + 1} of {len(networks)}")
    return found


def place_spread(measured: Sequence[tuple[Artifact, Counts]]) -> float:
    """Largest relative difference between counts of one kernel in different places."""
    places: dict[str, list[int]] = defaultdict(list)
    for artifact, counts in measured:
        for kernel, count in zip(artifact.kernels, counts.kernels.tolist(), strict=True):
            places[kernel.key].append(count)
    return max((max(seen) / min(seen) - 1 for seen in places.values() if min(seen) > 0), default=0.0)


def judge(
    name: str, space: SearchSpace, held_out: Sequence[Architecture], budget_s: float, lut: Path
) -> dict[str, Any]:
    """One board's row."""
    profile = load_device(name).unscaled()
    system = System(name=name, sensor=profile, link=load_link("spi"), aggregator=load_device("ar-soc"))
    device = QemuSystemDevice(profile)
    with LutStore(lut) as store:
        report = build_from_space(
            store, space, system, "sensor", budget_s=budget_s, coverage=1.0, exclude=held_out, progress=show
        )
        predictor = SystemPredictor(space, system, store)
        measured = count_all(space, device, held_out, "held-out network")
        prediction = predictor.predict(predictor.encoding.encode_all(list(held_out)))
        rows = store.times(store.condition(conditions_of(get_device(profile), profile.exporter)))
        again = count_all(space, QemuSystemDevice(profile), held_out[:AGAIN], "again")
    truth = np.array([counts.graph for _, counts in measured], dtype=np.float64)
    error = np.abs(prediction.sensor_us / truth - 1)
    own = np.array([counts.kernels.sum() for _, counts in measured], dtype=np.float64)
    differ = sum(
        int(not np.array_equal(first.kernels, second.kernels) or first.graph != second.graph)
        for (_, first), (_, second) in zip(measured, again, strict=False)
    )
    return {
        "board": name,
        "core": str(profile.target["mcpu"]),
        "kernels_in_table": len(rows),
        "building_s": report.seconds,
        "measured_fraction": float(prediction.measured_fraction.mean()),
        "median_error": float(np.median(error)),
        "max_error": float(error.max()),
        "max_additive_error": float(np.abs(own / truth - 1).max()),
        "largest_place_spread": place_spread(measured),
        "counts_that_differ": differ,
        "mean_instructions": float(truth.mean()),
        "largest_stack_bytes": max(counts.stack_bytes for _, counts in measured),
    }


def status(text: str) -> None:
    """One line that replaces the last, on stderr."""
    print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def show(progress: BuildProgress) -> None:
    """Where the building stands."""
    status(f"building: {progress.known} of {progress.wanted} units covered, {progress.seconds:.0f} s")


def main() -> None:
    """Build, hold out, count, compare; board by board."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default="tiny")
    parser.add_argument("--networks", type=int, default=30, help="held-out networks per board")
    parser.add_argument("--budget", type=float, default=420.0, help="seconds of building per board")
    parser.add_argument("--boards", default=",".join(BOARDS), help="device profiles of kind qemu-system")
    parser.add_argument("--lut", type=Path, help="continue with this table instead of a new one")
    parser.add_argument("--seed", type=int, default=12345, help="of the held-out networks")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()

    space = load_space(args.space)
    held_out = draw(space, args.networks, args.seed)
    with tempfile.TemporaryDirectory() as scratch:
        lut = args.lut or Path(scratch) / "lut.db"
        rows = [judge(name, space, held_out, args.budget, lut) for name in args.boards.split(",")]
    status("")
    figures = {f"{key}_{row['board']}": row[key] for row in rows for key in ("max_error", "median_error")}
    figures |= {key: max(row[key] for row in rows) for key in ("max_error", "max_additive_error", "counts_that_differ")}
    note = "instructions counted under QEMU -icount, sensor side; errors relative to the counted instructions of a run"
    emit("mcu_prediction", figures, rows, as_json=args.json, notes=note)


if __name__ == "__main__":
    main()
