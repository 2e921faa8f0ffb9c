"""What the demo's choice is worth: a split beside the better system without one, by seed and system.

    python benchmarks/demos.py [--systems demo m7-host] [--seeds 0 1 2] [--busy] [--work DIR] [--json]

Runs `splitkit demo` in `DIR/SYSTEM-SEED`, one after the other; runs whose summary is there already are not repeated.
Systems of one seed share its supernet, as they would in one directory: the seconds of the second then lack training.
Figures: `worst_ratio`, split's predicted time by the better other system's; `intervals_with_zero`, of how many runs the
paired 95 % interval of the test accuracies' difference holds 0, of `runs`. Run it on a machine that is idle otherwise;
with `--busy` beside a process that never sleeps, whose cost the seconds then show.
"""

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from train_beside_load import busy_process

from report import emit, status


def main() -> None:
    """Run what is missing, print a table or one JSON object."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--systems", nargs="+", default=["demo", "m7-host"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--busy", action="store_true")
    parser.add_argument("--work", type=Path, help="a temporary directory by default")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with TemporaryDirectory() as scratch, busy_process([] if given.busy else None):
        work = given.work or Path(scratch)
        rows = [row(work, system, seed) for system in given.systems for seed in given.seeds]
    status("")
    figures = {
        "worst_ratio": max(r["ratio"] for r in rows),
        "intervals_with_zero": sum(r["low 95"] <= 0 <= r["high 95"] for r in rows),
        "runs": len(rows),
    }
    emit("demos", figures, rows, as_json=given.json)


def row(work: Path, system: str, seed: int) -> dict[str, Any]:
    """What one demo found, run now unless it was before."""
    directory = work / f"{system}-{seed}"
    summary = directory / "runs/demo/summary.json"
    if not summary.exists():
        status(f"{system}, seed {seed}")
        borrow(work.glob(f"*-{seed}/runs/demo/supernet.pt"), directory / "runs/demo/supernet.pt")
        command = [sys.executable, "-m", "splitkit", "demo", "--system", system, "--seed", str(seed)]
        subprocess.run(command, cwd=directory, check=True, stderr=subprocess.DEVNULL)
    found = json.loads(summary.read_text(encoding="utf-8"))
    comparison = found["comparison"]
    predicted = {name: values["predicted_total_us"] for name, values in found["systems"].items()}
    measured = {name: values["measured_total_us"] for name, values in found["systems"].items()}
    return {
        "system": system,
        "seed": seed,
        "sensor us": predicted["all_on_sensor"],
        "aggregator us": predicted["all_on_aggregator"],
        "split us": predicted["split"],
        "split measured us": measured["split"],
        "against": comparison["against"],
        "ratio": comparison["predicted_ratio"],
        "difference": comparison["test_accuracy_difference"],
        "low 95": comparison["low_95"],
        "high 95": comparison["high_95"],
        "winner": found["verdict"]["winner"] or "none",
        **{f"{step} s": seconds for step, seconds in found["seconds"].items()},
        "seconds": sum(found["seconds"].values()),
    }


def borrow(found: Iterable[Path], to: Path) -> None:
    """A copy of the first file found, if any, unless there is one."""
    to.parent.mkdir(parents=True, exist_ok=True)
    for file in () if to.exists() else found:
        shutil.copy(file, to)
        return


if __name__ == "__main__":
    main()
