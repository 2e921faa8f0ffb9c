"""How well the lookup table predicts sub-networks it was not built from, on this machine.

The table is built from sub-networks of the space for a limited time; held-out ones are compiled whole (all on the
aggregator) and timed end to end, interleaved, twice: what two timings of one network differ by is the floor of any
error. `random` sub-networks are drawn uniformly; `iso` ones have predictions within 15 % of one latency, so that only
small differences tell them apart. Coverage: the same held-out networks predicted from a random part of the table.

    python benchmarks/lut_accuracy.py [--space cifar] [--networks 30] [--budget 300] [--lut FILE] [--json]
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from held_out import FloatArray, draw, time_graphs
from report import emit, status
from splitkit.bench import BuildProgress, build_from_space
from splitkit.devices import get_device
from splitkit.latency import LutStore, SystemPredictor
from splitkit.latency.kernel_times import network_conditions
from splitkit.profiles import load_device, load_link
from splitkit.profiles.schema import System
from splitkit.space import Architecture, SearchSpace, describe, load_space

ISO_BAND = 0.15
COVERAGES = (0.25, 0.5, 1.0)
ROUNDS = 8
RUNS = 60
NOTES = (
    "End to end, all on the aggregator, one thread, both sides of every comparison at the clock of the table's anchor; "
    "`any_clock`: against times as they were, whatever the processor's clock was then."
)


def iso_latency(predictor: SystemPredictor, space: SearchSpace, count: int, seed: int) -> list[Architecture]:
    """Architectures predicted within the band around the median latency of the space."""
    pool = draw(space, 40 * count, seed)
    us = predictor.predict(predictor.encoding.encode_all(pool)).aggregator_us
    near = np.flatnonzero(np.abs(us / np.median(us) - 1) <= ISO_BAND)
    return [pool[i] for i in near[:count]]


def kendall_tau(a: FloatArray, b: FloatArray) -> float:
    """Rank agreement of two orders, -1 to 1: concordant minus discordant pairs, over all pairs (tau-a)."""
    i, j = np.triu_indices(len(a), 1)
    return float(np.mean(np.sign(a[i] - a[j]) * np.sign(b[i] - b[j])))


def thinned(store: LutStore, system: System, share: float, path: Path) -> LutStore:
    """A table with a random share of the kernels."""
    device, part = get_device(system.aggregator.unscaled()), LutStore(path)
    both = network_conditions(device, "tvm")
    keys = sorted({key for conditions in both for key in store.values(store.condition(conditions))})
    keep = [keys[i] for i in np.random.default_rng(0).permutation(len(keys))[: round(share * len(keys))]]
    part.add_kernels("tvm", store.kernels("tvm", keep).values())
    for conditions in both:
        old, new = store.condition(conditions), part.condition(conditions)
        part.add_times(new, part.start_session(new), store.times(old, keep).values())
        for graph in store.graphs(old):
            part.add_graph(new, graph)
    return part


def show(progress: BuildProgress) -> None:
    """Where the building stands."""
    status(f"building: {progress.known} of {progress.wanted} units covered, {progress.seconds:.0f} s")


def main() -> None:
    """Build, hold out, measure, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default="cifar")
    parser.add_argument("--networks", type=int, default=30, help="held-out networks of each sort")
    parser.add_argument("--budget", type=float, default=300.0, help="seconds of building")
    parser.add_argument("--lut", type=Path, help="continue with this table instead of a new one")
    parser.add_argument("--seed", type=int, default=12345, help="of the held-out networks")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()

    space, host = load_space(args.space), load_device("host")
    system = System(name="host", sensor=host, link=load_link("usb"), aggregator=host)
    device = get_device(host)
    with tempfile.TemporaryDirectory() as scratch:
        store = LutStore(args.lut or Path(scratch) / "lut.db")
        random = draw(space, args.networks, args.seed)
        start = time.perf_counter()
        build_from_space(store, space, system, "aggregator", budget_s=args.budget, exclude=random, progress=show)
        build_s = time.perf_counter() - start
        predictor = SystemPredictor(space, system, store)
        iso = iso_latency(predictor, space, args.networks, args.seed + 1)
        iso = [network for network in iso if network not in set(random)]
        networks = random + iso
        graphs = {network: tuple(describe(space, network).operators("aggregator")) for network in networks}
        timed = time_graphs(device, graphs, store, passes=2, rounds=ROUNDS, runs=RUNS)
        passes = np.array([[once[network].us for network in networks] for once in timed])
        measured = passes.mean(axis=0)
        as_timed = np.array([[once[network].us_any_clock for network in networks] for once in timed]).mean(axis=0)
        is_random = np.arange(len(networks)) < len(random)

        rows: list[dict[str, Any]] = []
        figures: dict[str, float] = {}
        for share in COVERAGES:
            part = thinned(store, system, share, Path(scratch) / f"{share}.db")
            prediction = SystemPredictor(space, system, part).predict(predictor.encoding.encode_all(networks))
            error = np.abs(prediction.aggregator_us / measured - 1)
            for sort, chosen in (("random", is_random), ("iso", ~is_random)):
                row: dict[str, Any] = {
                    "networks": sort,
                    "lut_share": share,
                    "measured_fraction": float(prediction.measured_fraction[chosen].mean()),
                    "median_error": float(np.median(error[chosen])),
                    "max_error": float(error[chosen].max()),
                    "within_10pct": float((error[chosen] <= 0.10).mean()),
                    "kendall_tau": kendall_tau(prediction.aggregator_us[chosen], measured[chosen]),
                    "kendall_tau_of_two_timings": kendall_tau(passes[0][chosen], passes[1][chosen]),
                }
                rows.append(row)
                if share == 1.0:
                    raw = np.abs(prediction.aggregator_us / as_timed - 1)
                    figures[f"median_error_{sort}_any_clock"] = float(np.median(raw[chosen]))
                    figures |= {f"{key}_{sort}": row[key] for key in ("within_10pct", "kendall_tau", "median_error")}
            figures[f"median_error_random_lut_{share:.0%}".replace("%", "pct")] = rows[-2]["median_error"]
        figures["bench_repeatability"] = float(np.median(np.abs(passes[0] / passes[1] - 1)))
        known, met = predictor.coverage("aggregator")
        figures |= {"kernels_known": known, "kernels_met": met, "build_s": build_s}
        status("")
        emit("lut_accuracy", figures, rows, as_json=args.json, notes=NOTES)
        store.close()


if __name__ == "__main__":
    main()
