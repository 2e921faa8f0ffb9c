"""How much memory do the steps of the loop take on `mobile`, and does a large latency table stay quick?

Each step runs as the command a user types, in a process of its own: a few training steps, a short measurement of
kernels, a small search with that supernet. Reported is the peak resident set of the largest process, as the system
counted it, and of all processes of the step together, sampled (pages that processes share count once for each).

The space is `mobile` with ten classes instead of a thousand, so that a made-up image folder of a few files will do:
only the last layer is smaller. Training memory grows with the batch; the default of spaces of this size is for GPUs,
here it is `--batch`.

The table holds 100,000 measured kernels. Opening it, and making a predictor of `mobile` from it, are timed in a fresh
process, several times, the file being in the system's cache.

    python benchmarks/memory.py [--json] [--batch 8] [--rows 100000]
"""

import argparse
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import psutil
from PIL import Image

from report import emit
from splitkit.compiler.kernel import Kernel
from splitkit.devices import get_device
from splitkit.latency.kernel_times import conditions_of
from splitkit.latency.rows import KernelTime
from splitkit.latency.store import LutStore
from splitkit.profiles import load_system

MIB = 2**20
SAMPLE_S = 0.05
CLASSES = 10

PROJECT = """
run = "memory"
space = "mobile10.toml"
system = "demo"
[data]
source = "images"
search_images = 20
[train]
steps = {steps}
batch = {batch}
[search]
population = 4
generations = 1
feedback_rounds = 0
"""

READY = """
import sys, time
from splitkit.latency.predictor import SystemPredictor
from splitkit.latency.store import LutStore
from splitkit.profiles import load_system
from splitkit.space import load_space
space, system = load_space("mobile"), load_system("demo")
start = time.perf_counter()
store = LutStore(sys.argv[1])
opened = time.perf_counter()
SystemPredictor(space, system, store)
print(1e3 * (opened - start), 1e3 * (time.perf_counter() - opened))
"""


def make_project(folder: Path, steps: int, batch: int) -> None:
    """A project on a made-up image folder."""
    preset = (resources.files("splitkit.space") / "presets" / "mobile.toml").read_text()
    assert "classes = 1000" in preset
    (folder / "mobile10.toml").write_text(preset.replace("classes = 1000", f"classes = {CLASSES}"))
    (folder / "splitkit.toml").write_text(PROJECT.format(steps=steps, batch=batch))
    rng = np.random.default_rng(0)
    for part, count in (("train", 10), ("val", 1)):
        for label in range(CLASSES):
            directory = folder / "images" / part / f"class{label}"
            directory.mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(0, 256, (36, 36, 3), dtype=np.uint8)
                Image.fromarray(pixels).resize((288, 288)).save(directory / f"{i}.jpg")


class _Sampler(threading.Thread):
    """Adds up the resident sets of a process and its descendants, now and then."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.process = psutil.Process(pid)
        self.most_bytes = 0
        self.done = threading.Event()

    def run(self) -> None:
        while not self.done.wait(SAMPLE_S):
            total = 0
            try:
                for process in (self.process, *self.process.children(recursive=True)):
                    total += process.memory_info().rss
            except psutil.Error:
                continue
            self.most_bytes = max(self.most_bytes, total)


def peak_memory(arguments: Sequence[str], folder: Path) -> tuple[float, float, float]:
    """Peak MiB of a command's largest process and of all its processes together, and its seconds."""
    start = time.monotonic()
    command = [sys.executable, "-m", "splitkit", *arguments]
    child = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    sampler = _Sampler(child.pid)
    sampler.start()
    assert child.stderr is not None
    said = child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    sampler.done.set()
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{' '.join(command)}: exit {child.returncode}\n{said.decode()[-2000:]}")
    largest = usage.ru_maxrss * 1024 / MIB  # ru_maxrss is in KiB on Linux
    return largest, max(sampler.most_bytes / MIB, largest), time.monotonic() - start


def fill_table(path: Path, rows: int) -> None:
    """A table of the demo's sensor with so many measured kernels."""
    profile = load_system("demo").sensor
    kernels = [Kernel(f"{i:040x}", f"kernel {i}", "conv", i, i, i, i, f'{{"i": {i}}}') for i in range(rows)]
    with LutStore(path) as store:
        condition = store.condition(conditions_of(get_device(profile.unscaled()), profile.exporter))
        store.add_kernels(profile.exporter, kernels)
        session = store.start_session(condition)
        store.replace_times(condition, session, [KernelTime(kernel.key, 1.0, 0.01, 3) for kernel in kernels])


def ready_ms(path: Path, repeats: int) -> tuple[list[float], list[float]]:
    """Milliseconds to open a table, and from there to a predictor, each in a fresh process."""
    opened, ready = [], []
    for _ in range(repeats):
        result = subprocess.run([sys.executable, "-c", READY, str(path)], check=True, capture_output=True, text=True)
        first, second = result.stdout.split()
        opened.append(float(first))
        ready.append(float(second))
    return opened, ready


def run(steps: int, batch: int, budget: str, rows: int, repeats: int) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """Figures and one row per step."""
    figures: dict[str, float] = {}
    table: list[dict[str, Any]] = []
    with TemporaryDirectory(prefix="splitkit-memory-") as name:
        folder = Path(name)
        make_project(folder, steps, batch)
        commands = {
            "train": ["train"],
            "bench": ["bench", "--target", "sensor", "--budget", budget],
            "search": ["search"],
        }
        for step, arguments in commands.items():
            largest, together, seconds = peak_memory(arguments, folder)
            figures |= {f"{step}_peak_rss_mib": largest, f"{step}_all_processes_rss_mib": together}
            row = {"step": f"splitkit {' '.join(arguments)}", "peak MiB": largest, "all processes MiB": together}
            table.append(row | {"seconds": seconds})
        path = folder / "large.db"
        fill_table(path, rows)
        opened, ready = ready_ms(path, repeats)
    figures |= {
        "lut_rows": float(rows),
        "lut_open_ms": statistics.median(opened),
        "predictor_ready_ms": statistics.median(ready),
        "lut_open_ms_worst": max(opened),
        "predictor_ready_ms_worst": max(ready),
        "train_batch": float(batch),
    }
    return figures, table


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument("--steps", type=int, default=2, help="training steps")
    parser.add_argument("--batch", type=int, default=8, help="images per training step")
    parser.add_argument("--budget", default="40s", help="of measuring kernels")
    parser.add_argument("--rows", type=int, default=100_000, help="kernels in the table")
    parser.add_argument("--repeats", type=int, default=7, help="timings of the table")
    arguments = parser.parse_args()
    figures, rows = run(arguments.steps, arguments.batch, arguments.budget, arguments.rows, arguments.repeats)
    emit("memory", figures, rows, as_json=arguments.json)


if __name__ == "__main__":
    main()
