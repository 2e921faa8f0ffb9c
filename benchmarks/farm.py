"""A latency table built by a farm: four boards, of which one is killed and one hangs meanwhile, against one board.

The boards are TVM's own RPC servers on this machine's loopback interface behind its tracker, so they share this
machine's processors with each other and with the compilers. What the farm gains here is therefore bounded by the
processors, not by the boards: on two of them two boards can measure at once, and whatever is compiled meanwhile takes
from both. What is judged is that the table is complete: every network once, no row lost or doubled. Every row's value
is compared with the single board's.

    python benchmarks/farm.py [--space tiny] [--networks 24] [--json]
"""

import argparse
import sqlite3
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from loopback_boards import Farm, farm
from report import emit, status
from splitkit.bench import BuildProgress, build_from_space
from splitkit.bench.progress import BuildReport
from splitkit.latency import LutStore
from splitkit.profiles import load_device, load_link
from splitkit.profiles.schema import System
from splitkit.space import load_space

TIMEOUT_S = 15.0
AGREEMENT = 0.3
"""Looser than the default: boards that share processors disturb each other."""

Blow = Callable[[], None]


def build(boards: Farm, space_name: str, networks: int, path: Path, blows: list[Blow]) -> BuildReport:
    """Build a table; every two networks the next blow falls."""
    profile = boards.profile(timeout_s=TIMEOUT_S, agreement=AGREEMENT)
    system = System(name="farm", sensor=profile, link=load_link("spi"), aggregator=load_device("ar-soc"))

    def show(state: BuildProgress) -> None:
        status(f"{len(boards.boards)} boards: {state.networks} of {networks} networks, {state.seconds:.0f} s")
        if blows and state.networks % 2 == 0:
            blows.pop(0)()

    with LutStore(path) as store:
        return build_from_space(store, load_space(space_name), system, "sensor", networks=networks, progress=show)


def counts(path: Path) -> tuple[int, int, dict[str, float]]:
    """Graphs in a table, how many rows are there more than once, and the times by kernel."""
    database = sqlite3.connect(path)
    graphs = database.execute("SELECT COUNT(*), COUNT(DISTINCT digest) FROM graphs").fetchone()
    rows = database.execute("SELECT kernel, value FROM measurements").fetchall()
    times = dict(rows)
    return graphs[1], graphs[0] - graphs[1] + len(rows) - len(times), times


def main() -> None:
    """Build with one board, then with four under fire; compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default="tiny")
    parser.add_argument("--networks", type=int, default=24)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    table: list[dict[str, Any]] = []
    found: dict[str, tuple[int, int, dict[str, float]]] = {}
    reports: dict[str, BuildReport] = {}
    for name, boards in (("1 board", 1), ("4 boards", 4), ("4 boards, 1 killed, 1 hung", 4)):
        with tempfile.TemporaryDirectory() as scratch, farm(Path(scratch), boards) as made:
            blows = [made.boards[0].kill, made.boards[1].hang] if "killed" in name else []
            path = Path(scratch) / "lut.db"
            start = time.perf_counter()
            reports[name] = build(made, args.space, args.networks, path, blows)
            seconds = time.perf_counter() - start
            found[name] = counts(path)
            complete, doubled, times = found[name]
            table.append(
                {
                    "boards": name, "networks": complete, "kernels": len(times), "rows doubled": doubled,
                    "seconds": seconds, "networks by board": " ".join(str(n) for n in reports[name].boards.values()),
                    "failed": len(reports[name].trouble), "left out": len(reports[name].left_out),
                }
            )  # fmt: skip
    alone, under_fire = found["1 board"][2], found["4 boards, 1 killed, 1 hung"][2]
    ratios = [under_fire[key] / alone[key] for key in under_fire.keys() & alone.keys()]
    seconds = {row["boards"]: row["seconds"] for row in table}
    figures = {
        "networks_lost": float(args.networks - found["4 boards, 1 killed, 1 hung"][0]),
        "rows_doubled": float(found["4 boards, 1 killed, 1 hung"][1]),
        "rows_lost": float(reports["4 boards, 1 killed, 1 hung"].measured - len(under_fire)),
        "speed_up_4_boards": seconds["1 board"] / seconds["4 boards"],
        "speed_up_under_fire": seconds["1 board"] / seconds["4 boards, 1 killed, 1 hung"],
        "median_ratio_to_1_board": float(np.median(ratios)),
        "rows_within_10pct_of_1_board": float((np.abs(np.array(ratios) - 1) <= 0.1).mean()),
    }
    status("")
    emit("farm", figures, table, as_json=args.json, notes="loopback servers on this machine's processors")


if __name__ == "__main__":
    main()
