"""Is the chosen cut the best one? Every cut that `splitkit partition` lists is compiled and measured, on three links.

The system is this machine as aggregator and, slowed down, as sensor. Halves are measured once for all links, whose
times are their formula. `worst_gap` is the largest excess of a chosen cut's measured time over the best measured one.

    python benchmarks/partition_optimum.py [--only residual shuffle ...] [--json]
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

from stranger_networks import mobilenet_v2

from outsider_networks import OUTSIDERS, outsider
from report import emit, status
from splitkit.bench.clock import TableClock
from splitkit.graphs.edges import Edges
from splitkit.graphs.subject import OneView
from splitkit.latency.store import LutStore
from splitkit.partition import Option, partition
from splitkit.partition.examine import Examiner
from splitkit.profiles import System, load_system

NETWORKS = ("residual", "inception", "shuffle", "fire", "u-net", "mobilenet_v2")
BANDWIDTHS = (1e6, 1e7, 1e8)
SLOWER = 10.0
CUTS = 400


def system_at(bandwidth: float) -> System:
    """The demo's, with another link and a sensor that is slowed down less."""
    system = load_system("demo")
    link = system.link.model_copy(update={"bandwidth_bytes_per_s": bandwidth})
    sensor = system.sensor.model_copy(update={"time_scale": SLOWER})
    return system.model_copy(update={"link": link, "sensor": sensor})


def rows_of(name: str, scratch: Path) -> list[dict[str, Any]]:
    """One network on every link."""
    model = mobilenet_v2() if name == "mobilenet_v2" else outsider(name)
    rows, computing = [], dict[tuple[str, ...], float]()
    for bandwidth in BANDWIDTHS:
        system = system_at(bandwidth)
        with LutStore(scratch / f"{name}.db") as store:
            options = partition(model, system, store, listed=CUTS).options
            clock, examiner = (
                TableClock(store, scratch / f"{name}-clock"),
                Examiner.of(OneView(model, Edges.of(model)), system, store),
            )
            measured = []
            for number, option in enumerate(options):
                if option.crossing not in computing:
                    status(f"{name}: cut {number + 1} of {len(options)}")
                    timed = examiner.measure(option, clock, scratch / f"{name}-{number}")
                    computing[option.crossing] = timed.measured_us - option.link_us
                measured.append(computing[option.crossing] + option.link_us)
        best = min(range(len(options)), key=measured.__getitem__)
        rows.append(
            {
                "network": name, "bytes/s": bandwidth, "cuts": len(options),
                "chosen": _shown(options[0]), "predicted us": options[0].total_us, "measured us": measured[0],
                "best": _shown(options[best]), "its us": measured[best], "gap": measured[0] / measured[best] - 1,
            }
        )  # fmt: skip
    return rows


def _shown(option: Option) -> str:
    return ", ".join(option.crossing) if option.placement == "split" else f"all on {option.placement}"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=[*OUTSIDERS, "mobilenet_v2"], default=list(NETWORKS))
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        rows = [row for name in given.only for row in rows_of(name, Path(scratch))]
    status("")
    gaps = [row["gap"] for row in rows]
    figures = {"worst_gap": max(gaps), "mean_gap": sum(gaps) / len(gaps), "cases": float(len(gaps))}
    emit("partition_optimum", figures, rows, as_json=given.json)


if __name__ == "__main__":
    main()
