"""Does the search find the best place to cut, wherever that is?

An analytical system is swept over link bandwidth and sensor slowdown. Its search space is small enough to enumerate:
split position x reduce ratio x link dtype of 40 fixed networks, both degenerate ends included. In every cell of the
sweep the search, which sees about a quarter of the space (so that as many random draws would find the optimum in about
a quarter of the cases), is held against the enumerated optimum: the least latency at an accuracy of at least a
threshold, for several thresholds. Accuracies are synthetic, a fixed function of the architecture; latencies are a
roofline over the compiler's kernels. Nothing is measured.

    python benchmarks/optimum.py [--json] [--seed 0]
"""

import argparse
from collections import Counter
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zlib import crc32

import numpy as np

from report import emit
from splitkit.latency.predictor import SystemPredictor
from splitkit.latency.store import LutStore
from splitkit.profiles import DeviceProfile, LinkProfile, System
from splitkit.scores import Score
from splitkit.search import SearchConfig, fastest_at, search
from splitkit.space import Architecture, SearchSpace, describe
from splitkit.space.encoding import Encoding
from splitkit.space.search_space import parse_space

SPACE = """
name = "optimum"
placements = ["aggregator", "split", "sensor"]
[input]
channels = 3
size = 32
resolutions = [24, 32]
[stem]
widths = [8, 16]
[[phases]]
widths = [16]
after = [0, 1, 2, 3, 4]
kernels = [3, 5]
expands = [4]
[[phases]]
widths = [32]
expands = [4]
[head]
classes = 10
[link]
reduce_ratios = [0.125, 0.25, 0.5, 1.0]
"""

BANDWIDTHS_MB_PER_S = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
SLOWDOWNS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0)
ACCURACY_QUANTILES = (0.5, 0.8, 0.95)
SAME = 1e-9
"""Relative latencies nearer than this are equal: sums of the same terms in another order."""

CORE = DeviceProfile(
    name="core",
    kind="analytical",
    macs_per_s={"float32": 10e9},
    bandwidth_bytes_per_s=10e9,
    kernel_overhead_us=0.5,
)


def system(bandwidth_mb_per_s: float, slowdown: float) -> System:
    """Both sides are the same core, the sensor's `slowdown` times slower."""
    return System(
        name="sweep",
        sensor=CORE.model_copy(update={"name": "slow-core", "time_scale": slowdown}),
        link=LinkProfile(name="link", bandwidth_bytes_per_s=bandwidth_mb_per_s * 1e6, overhead_us=10.0),
        aggregator=CORE,
    )


class SyntheticAccuracy:
    """More work is better, a narrow link and uint8 cost a little, and every network has luck of its own."""

    def __init__(self, space: SearchSpace) -> None:
        self.space = space

    def score(self, architectures: Sequence[Architecture]) -> list[Score]:
        """Synthetic accuracies; likelihood rises with them."""
        return [Score(accuracy, float(np.log(accuracy))) for accuracy in map(self.of, architectures)]

    def of(self, architecture: Architecture) -> float:
        """One synthetic accuracy."""
        network = describe(self.space, architecture)
        macs = network.macs("sensor") + network.macs("aggregator")
        accuracy = 0.98 - 0.12 * np.exp(-macs / 1.2e6)
        if architecture.has_splitting_module:
            accuracy -= 0.05 * np.exp(-network.payload_bytes / 150)
            accuracy -= 0.004 if architecture.link_dtype == "uint8" else 0.0
        luck = crc32(architecture.digest().encode()) / 2**32 - 0.5
        return float(accuracy + 0.004 * luck)


def enumerate_space(space: SearchSpace) -> list[Architecture]:
    """Every canonical architecture, once."""
    encoding = Encoding(space)
    choices = (range(upper + 1) for upper in encoding.upper)
    return list(dict.fromkeys(encoding.decode(genes) for genes in product(*choices)))


def run(seed: int, population: int, generations: int) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """Figures and one row per cell."""
    space = parse_space(SPACE, "optimum")
    everything = enumerate_space(space)
    genes = Encoding(space).encode_all(everything)
    evaluator = SyntheticAccuracy(space)
    accuracy = np.array([evaluator.of(architecture) for architecture in everything])
    thresholds = [float(np.quantile(accuracy, q)) for q in ACCURACY_QUANTILES]
    config = SearchConfig(population=population, generations=generations, seed=seed)
    rows: list[dict[str, Any]] = []
    best_placements: Counter[str] = Counter()
    with TemporaryDirectory() as folder:
        store = LutStore(Path(folder) / "lut.sqlite")
        for bandwidth, slowdown in product(BANDWIDTHS_MB_PER_S, SLOWDOWNS):
            cell = system(bandwidth, slowdown)
            predictor = SystemPredictor(space, cell, store)
            total_us = predictor.predict(genes).total_us
            result = search(space, cell, predictor, evaluator, config)
            seen = sum(result.evaluated.values())
            placements, gaps = [], []
            for threshold in thresholds:
                good = np.flatnonzero(accuracy >= threshold)
                optimum = int(good[np.argmin(total_us[good])])
                found = fastest_at(result.points, threshold)
                placements.append(everything[optimum].placement)
                gaps.append(found.total_us / float(total_us[optimum]) - 1 if found else np.inf)
            best_placements.update(placements)
            rows.append(
                {
                    "MB/s": bandwidth,
                    "slowdown": slowdown,
                    **{f"best@{q:.0%}": name for q, name in zip(ACCURACY_QUANTILES, placements, strict=True)},
                    "found": sum(gap < SAME for gap in gaps),
                    "of": len(gaps),
                    "worst gap": max(0.0, *gaps),
                    "seen": seen / len(everything),
                }
            )
    cases = sum(row["of"] for row in rows)
    figures = {
        "optimum_found_fraction": sum(row["found"] for row in rows) / cases,
        "worst_gap": max(row["worst gap"] for row in rows),
        "space_size": float(len(everything)),
        "share_of_space_seen": float(np.mean([row["seen"] for row in rows])),
        "cases": float(cases),
    }
    figures |= {f"optimum_on_{name}": float(best_placements[name]) for name in ("sensor", "aggregator", "split")}
    return figures, rows


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument("--seed", type=int, default=0, help="of the searches")
    parser.add_argument("--population", type=int, default=24, help="candidates per generation and system")
    parser.add_argument("--generations", type=int, default=20, help="generations per system")
    arguments = parser.parse_args()
    figures, rows = run(arguments.seed, arguments.population, arguments.generations)
    notes = (
        "best@q: where the enumerated optimum runs, of the networks at least as accurate as that quantile of all. "
        "Synthetic accuracy, analytical latency."
    )
    emit("optimum", figures, rows, as_json=arguments.json, notes=notes)


if __name__ == "__main__":
    main()
