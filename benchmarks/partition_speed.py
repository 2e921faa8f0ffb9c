"""How long does it take to find the best cut of a model?

* `list_s`: the pieces of a residual network of 2,000 operators, compiled already, into cuts, each with its time, and
  the best of all by a minimum cut.
* `cold_s`, `warm_s`: MobileNetV2 (224 x 224) from its file's content to the table of cuts, on a system whose kernels
  have all to be measured, and again when they are known.

    python benchmarks/partition_speed.py [--system demo] [--json]
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from stranger_networks import mobilenet_v2

from report import emit, status
from splitkit.compiler.frontend import LoweredPart
from splitkit.graphs.edges import Edges
from splitkit.graphs.graph import OnnxGraph
from splitkit.latency.hop import Hop
from splitkit.latency.store import LutStore
from splitkit.partition import partition
from splitkit.partition.costs import Costs
from splitkit.partition.cuts import list_cuts
from splitkit.partition.mincut import least_cost
from splitkit.partition.network import Network
from splitkit.profiles import load_system
from splitkit.space.tensor import TensorSpec

OPERATORS = 2_000


def residual_parts(count: int) -> tuple[list[LoweredPart], dict[str, TensorSpec]]:
    """Blocks of two operators and the sum around them, as a compiler would list them."""
    parts, tensors = list[LoweredPart](), {"t0": TensorSpec("t0", (1, 64, 14, 14))}
    for i in range(count):
        skip = (f"t{i - 2}",) if i % 3 == 2 else ()
        parts.append(LoweredPart((f"t{i}", *skip), (f"t{i + 1}",), ()))
        tensors[f"t{i + 1}"] = TensorSpec(f"t{i + 1}", (1, 64, 14, 14))
    return parts, tensors


def listing_s(count: int) -> tuple[float, int]:
    """Seconds for listing and costing, and how many cuts there are."""
    parts, tensors = residual_parts(count)
    rng, system = np.random.default_rng(0), load_system("hmd")
    us = {side: rng.uniform(1, 10, count) for side in ("sensor", "aggregator")}
    start = time.perf_counter()
    network, _ = Network.of(parts, tensors, Edges((tensors["t0"],), (), (tensors[f"t{count}"],)))
    costs = Costs(us, dict.fromkeys(us, 1.0), dict.fromkeys(us, 0.0), Hop(system.link, 1))
    cuts = sorted(list_cuts(network), key=costs.total_us)
    least_cost(network, us["sensor"], us["aggregator"], costs.us_per_byte)
    return time.perf_counter() - start, len(cuts)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--system", default="demo", help="a profile or a .toml file")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    list_s, cuts = listing_s(OPERATORS)
    content, system = mobilenet_v2().SerializeToString(), load_system(given.system)
    seconds = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name in ("cold", "warm"):
            status(f"{name} table")
            start = time.perf_counter()
            with LutStore(Path(scratch) / "lut.db") as store:
                found = partition(OnnxGraph(content).model(), system, store)
            seconds[f"{name}_s"] = time.perf_counter() - start
    status("")
    figures = {"list_s": list_s, "listed_cuts": float(cuts), **seconds, "mobilenet_cuts": float(found.listed)}
    emit("partition_speed", figures, [], as_json=given.json)


if __name__ == "__main__":
    main()
