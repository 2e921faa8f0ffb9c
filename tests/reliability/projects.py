"""A project whose every step takes seconds, and what must hold of what the steps leave behind."""

import sqlite3
from contextlib import closing
from pathlib import Path

from splitkit.bundle import MANIFEST, load_bundle
from splitkit.search import load_result
from splitkit.training import load_supernet
from tests.report.runs import SPACE

SETTINGS = """
run = "r"
space = "small.toml"
system = "{system}"
[train]
steps = 40
batch = 32
learning_rate = 0.004
fine_tune_steps = 3
[search]
population = 6
generations = 3
feedback_rounds = 1
measured_per_round = 2
finalists = 2
finalist_steps = 2
"""


MEASURED_SPACE = """
name = "small"
[input]
channels = 1
size = 32
resolutions = [32]
[stem]
widths = [8]
[[phases]]
widths = [16]
after = [0, 1]
kernels = [3]
expands = [2]
[head]
classes = 10
[link]
reduce_ratios = [0.5]
dtypes = ["uint8"]
"""
"""Few kernels: a table of all of them takes seconds."""


def write_project(directory: Path, system: str = "hmd") -> Path:
    """A project on the embedded digits in `directory`; on the measured system `demo` of a still smaller space."""
    directory.mkdir(parents=True)
    (directory / "small.toml").write_text(SPACE if system == "hmd" else MEASURED_SPACE)
    (directory / "splitkit.toml").write_text(SETTINGS.format(system=system))
    return directory


def check_table(file: Path, builders: int = 1) -> tuple[int, int]:
    """A latency table is sound: nothing lost, nothing counted twice. Its numbers of kernels and of graphs.

    Each measured graph is one transaction with its kernels' times, one sample per call, so that the samples of all
    kernels add up to the calls of all graphs, whatever was killed in between. Of several builders at once each may
    measure the same graph: then its row is the last one's, and its kernels' times are means over all of them.
    """
    with closing(sqlite3.connect(file, timeout=60)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
        if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'graphs'").fetchone():
            return 0, 0
        calls = dict(db.execute("SELECT condition, SUM(kernels) FROM graphs GROUP BY condition"))
        samples = dict(db.execute("SELECT condition, SUM(samples) FROM measurements GROUP BY condition"))
        assert calls.keys() == samples.keys()
        assert all(calls[condition] <= samples[condition] <= builders * calls[condition] for condition in calls)
        orphans = "SELECT COUNT(*) FROM measurements WHERE kernel NOT IN (SELECT key FROM kernels)"
        assert db.execute(orphans).fetchone()[0] == 0
        kernels = db.execute("SELECT COUNT(*) FROM measurements").fetchone()[0]
        return kernels, db.execute("SELECT COUNT(*) FROM graphs").fetchone()[0]


def check_no_partial_files(directory: Path) -> None:
    """Whatever bears a final name is whole."""
    run = directory / "runs" / "r"
    if (run / "supernet.pt").exists():
        load_supernet(run / "supernet.pt")
    if (run / "pareto.json").exists():
        load_result(run / "pareto.json")
    if (directory / "runs" / "lut.db").exists():
        check_table(directory / "runs" / "lut.db")
    for bundle in directory.glob("bundle*"):
        assert (bundle / MANIFEST).exists(), f"{bundle} is a partial bundle"
        load_bundle(bundle)
