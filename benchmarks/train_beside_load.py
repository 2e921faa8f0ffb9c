"""What another process costs training: seconds per step with one busy process beside it, against none.

    python benchmarks/train_beside_load.py [--steps 60] [--rounds 5] [--threads N] [--json]

Trains `tiny` on digits for a while, in turn with nothing beside it (quiet), with a process that never sleeps (busy),
and with one that is pinned to the first core. Each time is of a process of its own, its start left out. Figure
`ratio_beside_load`: the larger of the medians beside a busy process, by the median of the quiet ones. Run it on a
machine that is idle otherwise.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from report import emit, status
from splitkit.data import load_dataset
from splitkit.space import load_space
from splitkit.training import StepReport, default_train_config, train

BUSY = """
import os, sys
if sys.argv[1:]: os.sched_setaffinity(0, {int(sys.argv[1])})
parent = os.getppid()
while os.getppid() == parent: pass
"""
"""Never sleeps, and ends with whoever started it."""
WARM_UP = 10
"""Steps left out: oneDNN compiles its kernels in them."""


def main() -> None:
    """Measure, print a table or one JSON object."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.alone:
        print(json.dumps(trained(given.steps, given.threads)))
        return
    first_core = min(os.sched_getaffinity(0))
    beside: dict[str, list[str] | None] = {"quiet": None, "busy": [], "busy, pinned": [str(first_core)]}
    found: dict[str, list[dict[str, float]]] = {name: [] for name in beside}
    for number in range(given.rounds):
        for name, arguments in beside.items():
            status(f"round {number + 1} of {given.rounds}: {name}")
            with busy_process(arguments):
                found[name].append(alone(given.steps, given.threads))
    status("")
    wall = {name: float(np.median([times["wall_ms"] for times in runs])) for name, runs in found.items()}
    rows = [row(name, runs, wall[name] / wall["quiet"]) for name, runs in found.items()]
    figures = {
        "ratio_beside_load": max(wall["busy"], wall["busy, pinned"]) / wall["quiet"],
        "quiet_ms_per_step": wall["quiet"],
    }
    notes = f"{given.threads} threads; medians of {given.rounds} interleaved rounds of {given.steps} steps."
    emit("train_beside_load", figures, rows, as_json=given.json, notes=notes)


def row(name: str, runs: list[dict[str, float]], ratio: float) -> dict[str, Any]:
    """One line of the table."""
    wall = [times["wall_ms"] for times in runs]
    return {
        "beside": name,
        "wall_ms_per_step": float(np.median(wall)),
        "fastest": min(wall),
        "slowest": max(wall),
        "cpu_ms_per_step": float(np.median([times["cpu_ms"] for times in runs])),
        "over_quiet": ratio,
    }


def alone(steps: int, threads: int) -> dict[str, float]:
    """`trained` in a process of its own."""
    command = [sys.executable, __file__, "--alone", "--steps", str(steps), "--threads", str(threads)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    times: dict[str, float] = json.loads(output)
    return times


def trained(steps: int, threads: int) -> dict[str, float]:
    """Wall-clock and processor milliseconds per step, `WARM_UP` steps left out."""
    torch.set_num_threads(threads)
    space = load_space("tiny")
    config = default_train_config(space).model_copy(update={"steps": WARM_UP + steps})
    times: list[tuple[float, float]] = []

    def note(report: StepReport) -> None:
        if report.step in (WARM_UP, config.steps):
            times.append((time.monotonic(), time.process_time()))

    with tempfile.TemporaryDirectory(prefix="splitkit-") as folder:
        train(space, load_dataset("digits", space), config, Path(folder) / "supernet.pt", device="cpu", report=note)
    (wall, cpu), (wall_end, cpu_end) = times
    return {"wall_ms": 1e3 * (wall_end - wall) / steps, "cpu_ms": 1e3 * (cpu_end - cpu) / steps}


@contextmanager
def busy_process(arguments: list[str] | None) -> Iterator[None]:
    """A process that never sleeps, on the core that `arguments` names if any; none at all for None."""
    if arguments is None:
        yield
        return
    process = subprocess.Popen([sys.executable, "-c", BUSY, *arguments])
    try:
        yield
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    main()
