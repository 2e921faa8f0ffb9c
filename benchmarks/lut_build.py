"""Building a latency table at size: how fast, of how many kernels, and what a limited time of building buys.

Counts the kernels that random networks of each space need. Builds the table of one space on this machine for a limited
time, then compiles held-out networks, whole and cut in two, times them end to end and compares with the prediction.
With `--lut FILE` the table is kept: stopped and started again, building goes on where it was. The held-out networks are
never measured for the table.

`--compare` asks what choosing the networks is worth instead: the same regression, the same number of networks, chosen
at random, by how much of the space they cover, or by expected error; errors on the held-out networks, over the rows of
a table that was measured before (`--lut`), so that all three see the same times.

    python benchmarks/lut_build.py [--space mobile] [--budget 1200] [--networks 30] [--lut FILE] [--json]
    python benchmarks/lut_build.py --compare --space cifar --lut FILE [--json]
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from held_out import FloatArray, draw, time_graphs
from report import emit, status
from splitkit.bench import BuildProgress, build_from_space
from splitkit.bench.choosing import Chooser
from splitkit.devices import Device, get_device
from splitkit.latency import LutStore, SystemPredictor
from splitkit.latency.kernel_times import KernelTimes, network_conditions
from splitkit.latency.lowering import Lowering
from splitkit.latency.regression import KernelRegression
from splitkit.profiles import load_device, load_link
from splitkit.profiles.schema import System
from splitkit.sides import SIDES
from splitkit.space import Architecture, Sampler, SearchSpace, describe, load_space
from splitkit.space.operators import Operator

SPACES = ("tiny", "cifar", "mobile")
ROUNDS = 8
RUNS = 20
NETWORKS_COMPARED = (2, 4, 8, 16, 24, 32)
HELD_OUT_COMPARED = 60


def held_out_networks(space: SearchSpace, count: int, seed: int) -> list[Architecture]:
    """Whole networks, and as many that are cut somewhere, of which both halves count."""
    whole = draw(space, count, seed)
    sampler = Sampler(space.restricted("split"), np.random.default_rng(seed))
    cut: dict[Architecture, None] = {}
    while len(cut) < count:
        cut[sampler.uniform()] = None
    return whole + list(cut)


def unique_kernels(store: LutStore, space: SearchSpace, device: Device) -> tuple[int, int]:
    """Of the networks that building draws: distinct units, and the kernels they become. Lowered, not compiled."""
    chooser = Chooser.draw(space, ("sensor", "aggregator"), (), 0)
    units = chooser.heaviest_unlowered(len(chooser.table))
    lowering = Lowering(store, device.profile.exporter, device.target())
    found = lowering.kernels(units, lambda done, of: status(f"{space.name}: lowered {done} of {of} units"))
    return len(units), len({kernel.key for kernels in found.values() for kernel in kernels})


def graphs_of(space: SearchSpace, networks: Sequence[Architecture]) -> dict[tuple[int, str], tuple[Operator, ...]]:
    """Every graph of the networks, by network and side."""
    found = {
        (i, side): tuple(describe(space, network).operators(side))
        for i, network in enumerate(networks)
        for side in SIDES
    }
    return {name: operators for name, operators in found.items() if operators}


def errors(
    predictor: SystemPredictor, networks: Sequence[Architecture], measured: dict[tuple[int, str], float]
) -> dict[str, FloatArray]:
    """Relative errors by sort of graph: whole networks, sensor halves, aggregator halves."""
    predicted = predictor.predict(predictor.encoding.encode_all(networks))
    by_sort: dict[str, list[float]] = {"whole": [], "sensor half": [], "aggregator half": []}
    for (i, side), us in measured.items():
        whole = (i, "sensor") not in measured
        time_us = predicted.sensor_us[i] if side == "sensor" else predicted.aggregator_us[i]
        by_sort["whole" if whole else f"{side} half"].append(abs(time_us / us - 1))
    return {sort: np.array(found) for sort, found in by_sort.items()}


def build(args: argparse.Namespace) -> None:
    """The first form: build, then judge on held-out networks."""
    host = load_device("host")
    system = System(name="host", sensor=host, link=load_link("usb"), aggregator=host)
    device, space = get_device(host), load_space(args.space)
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name in SPACES:
            with LutStore(Path(scratch) / f"{name}.db") as store:
                units, kernels = unique_kernels(store, load_space(name), device)
            figures |= {f"unique_units_{name}": units, f"unique_kernels_{name}": kernels}
        networks = held_out_networks(space, args.networks, args.seed)
        store = LutStore(args.lut or Path(scratch) / "lut.db")

        def show(p: BuildProgress) -> None:
            eta = f", {p.eta_s:.0f} s left" if p.eta_s is not None else ""
            status(f"{p.networks} networks, {p.coverage:.0%} of the weight covered, {p.seconds:.0f} s{eta}")

        report = build_from_space(
            store, space, system, "aggregator", budget_s=args.budget, exclude=networks, progress=show
        )  # fmt: skip
        [timed] = time_graphs(device, graphs_of(space, networks), store, passes=1, rounds=ROUNDS, runs=RUNS)
        measured = {name: graph.us for name, graph in timed.items()}
        predictor = SystemPredictor(space, system, store)
        by_sort = errors(predictor, networks, measured)
        rows = KernelTimes(store, device.profile).rows
        store.close()
    everything = np.concatenate(list(by_sort.values()))
    figures |= {
        "kernels_per_min": report.measured / report.seconds * 60,
        "networks_measured": report.networks,
        "build_s": report.seconds,
        "kernels_measured": rows,
        "coverage": report.coverage,
        "flagged": report.flagged,
        f"{args.space}_within_10pct": float((everything <= 0.10).mean()),
    }
    if args.space == "mobile" and args.budget == 1200:
        figures["mobile_within_10pct_after_20min"] = figures["mobile_within_10pct"]
    table = [
        {
            "graphs": sort, "count": len(found), "within_10pct": float((found <= 0.10).mean()),
            "median_error": float(np.median(found)), "max_error": float(found.max()),
        }
        for sort, found in by_sort.items()
    ]  # fmt: skip
    status("")
    emit("lut_build", figures, table, as_json=args.json, notes="us end to end, one pinned thread")


def compare(args: argparse.Namespace) -> None:
    """The second form: replay ways of choosing over the rows of a table measured before."""
    device, space = get_device(load_device("host").unscaled()), load_space(args.space)
    store = LutStore(args.lut)
    chooser = Chooser.draw(space, ("sensor", "aggregator"), (), args.seed)
    chooser.lowered(Lowering(store, "tvm", device.target()).recall(chooser.heaviest_unlowered(len(chooser.table))))
    times: dict[str, float] = {}
    for conditions in network_conditions(device, "tvm"):
        times |= store.values(store.condition(conditions))
    known = [i for i in range(len(chooser.architectures)) if all(k.key in times for k in kernels_of(chooser, i))]
    order = np.random.default_rng(args.seed).permutation(known)
    held_out, pool = order[:HELD_OUT_COMPARED].tolist(), np.zeros(len(chooser.architectures), dtype=np.bool_)
    pool[order[HELD_OUT_COMPARED:]] = True
    if len(held_out) < HELD_OUT_COMPARED or not pool.any():
        raise SystemExit(f"{args.lut}: only {len(known)} of the networks drawn have all their kernels in the table")
    table: list[dict[str, Any]] = []
    for way in ("uniform", "coverage", "expected error"):
        table += replay(chooser, way, times, held_out, pool.copy(), args.seed)
    last = {row["chosen by"]: row for row in table}
    figures = {f"median_error_{way.replace(' ', '_')}": row["median_error"] for way, row in last.items()}
    figures |= {f"p95_error_{way.replace(' ', '_')}": row["p95_error"] for way, row in last.items()}
    status("")
    emit(
        "lut_build_compare", figures | {"rows": len(times)}, table, as_json=args.json, notes="sums of kernels, replayed"
    )


def kernels_of(chooser: Chooser, i: int) -> list[Any]:
    """Kernels of candidate i; a kernel nobody lowered is one that nobody measured."""
    return [k for e in chooser.entries(i) for k in chooser.kernels.get(int(e), (_UNKNOWN,))]


class _UNKNOWN:
    key = ""


def replay(
    chooser: Chooser, way: str, times: dict[str, float], held_out: list[int], pool: NDArray[np.bool_], seed: int
) -> list[dict[str, Any]]:
    """Errors on the held-out candidates after so many networks chosen in one way."""
    truth = np.array([sum(times[k.key] for k in kernels_of(chooser, i)) for i in held_out])
    kernels = {k.key: k for k in chooser.all_kernels() if k.key in times}
    chooser.forget(pool)
    rng, known, rows = np.random.default_rng(seed), dict[str, float](), list[dict[str, Any]]()
    for n in range(1, max(NETWORKS_COMPARED) + 1):
        if way == "uniform":
            i = int(rng.choice(np.flatnonzero(chooser.left)))
            chooser.left[i] = False
        else:
            architecture = chooser.next()
            if architecture is None:
                break
            i = chooser.architectures.index(architecture)
        known |= {k.key: times[k.key] for k in kernels_of(chooser, i)}
        chooser.measured(known)
        if n not in NETWORKS_COMPARED and (way != "expected error" or n % 4):
            continue
        missing = [kernel for key, kernel in kernels.items() if key not in known]
        estimate = KernelRegression([kernels[k] for k in known], np.array(list(known.values()))).predict(missing)
        guesses = {
            k.key: (float(u), float(s)) for k, u, s in zip(missing, estimate.times, estimate.sigma_log, strict=True)
        }
        if way == "expected error":
            chooser.rank(known, guesses)
        time_of: Callable[[str], float] = lambda key: known[key] if key in known else guesses[key][0]  # noqa: B023, E731
        predicted = np.array([sum(time_of(k.key) for k in kernels_of(chooser, i)) for i in held_out])
        if n in NETWORKS_COMPARED:
            error = np.abs(predicted / truth - 1)
            rows.append(
                {
                    "chosen by": way, "networks": n, "kernels": len(known), "median_error": float(np.median(error)),
                    "p95_error": float(np.quantile(error, 0.95)), "within_10pct": float((error <= 0.1).mean()),
                }
            )  # fmt: skip
        status(f"{way}: {n} networks")
    return rows


def main() -> None:
    """Parse and do one of both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default="mobile")
    parser.add_argument("--budget", type=float, default=1200.0, help="seconds of building")
    parser.add_argument("--networks", type=int, default=30, help="held-out networks: so many whole, so many cut")
    parser.add_argument("--lut", type=Path, help="build on in this table; what --compare reads")
    parser.add_argument("--compare", action="store_true", help="compare ways of choosing over a measured table")
    parser.add_argument("--seed", type=int, default=12345)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    start = time.perf_counter()
    if args.compare and args.lut is None:
        parser.error("--compare needs --lut")
    (compare if args.compare else build)(args)
    status(f"{time.perf_counter() - start:.0f} s in all\n")


if __name__ == "__main__":
    main()
