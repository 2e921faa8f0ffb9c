"""How long does a folder in ImageNet's shape take to open, in how much memory, and how fast are its pictures decoded?

The tree has `train/` and `val/` of 1,000 classes, whose names hold spaces and letters of several scripts, and as many
entries as `--entries` says. They are hard links to `--pictures` made-up JPEG files of 500x375 pixels, so that it fits
on any disk: **contents are always in the system's cache**, and what a disk takes to deliver a real set is not in these
figures.

Opened is what `splitkit train` opens with the space `mobile` (288 pixels), each time in a fresh process: without an
index, with the one that the first left, with it after a picture was added to one class, and its test set.
Memory is the peak resident set as the system counted it; what it was before the set was opened, Python and torch
loaded, is beside it. Pictures are decoded in batches of 64 drawn at random, by one thread and by one per core, while
nothing else is done.

    python benchmarks/large_tree.py [--json] [--entries 1300000] [--pictures 300] [--tree DIR]
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image

from report import emit, status

CLASSES = 1000
TEST_SHARE = 50_000 / 1_331_167  # ImageNet's
SIZE = (500, 375)
ALPHABETS = ("tench", "grüne Mamba", "épée à deux mains", "しば犬", "белый медведь", "λύρα", "a b  c", "😀 smiley")

OPEN = """
import json, resource, sys, time
import torch
from pathlib import Path
from splitkit.data import folder
from splitkit.space import load_space
def mib(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
root, index, test = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] == "test"
said, before, start = [], mib(), time.perf_counter()
data = folder.load(root, load_space("mobile").input, index=index, say=said.append)
files = len(data.train) + len(data.search)
if test:
    start = time.perf_counter()
    files = len(data.test)
print(json.dumps({"seconds": time.perf_counter() - start, "files": files, "before": before, "peak": mib()}))
"""

DECODE = """
import json, sys, time
import torch
from pathlib import Path
from splitkit.data import ReadAhead, folder
from splitkit.space import load_space
torch.set_num_threads(1)
root, index, workers, batches = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
data = folder.load(root, load_space("mobile").input, index=index, workers=workers)
order = torch.randperm(len(data.train), generator=torch.Generator().manual_seed(0))
def indices(number): return order[64 * number : 64 * number + 64] if number <= batches else None
with ReadAhead(data.train, indices) as ahead:
    ahead[0]
    start, cpu = time.perf_counter(), time.process_time()
    for number in range(1, batches + 1):
        ahead[number]
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
print(json.dumps({"per_s": 64 * batches / seconds, "per_core_s": 64 * batches / cpu}))
"""


def make_pictures(folder: Path, count: int) -> list[Path]:
    """Made-up photographs: broad shapes, edges and a little noise, so that they compress as photographs do."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    paths = []
    for i in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)).resize(
            SIZE, Image.Resampling.BICUBIC
        )
        fine = Image.fromarray(rng.integers(0, 256, (94, 125, 3), dtype=np.uint8)).resize(
            SIZE, Image.Resampling.NEAREST
        )
        pixels = 0.75 * np.asarray(coarse) + 0.2 * np.asarray(fine) + rng.normal(0, 6, (SIZE[1], SIZE[0], 3))
        paths.append(folder / f"{i}.jpg")
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(paths[-1], quality=90)
    return paths


def make_tree(root: Path, pictures: list[Path], entries: int) -> None:
    """`entries` links to `pictures`, parted into classes evenly."""
    number = 0
    for part, share in (("train", 1 - TEST_SHARE), ("val", TEST_SHARE)):
        for label in range(CLASSES):
            folder = root / part / f"{label:04} {ALPHABETS[label % len(ALPHABETS)]}"
            folder.mkdir(parents=True)
            for i in range(max(2, round(entries * share / CLASSES))):
                os.link(pictures[number % len(pictures)], f"{folder}/{label:04} bild ß {i:05}.JPEG")
                number += 1
        status(f"{number} links made")


def ask(script: str, *arguments: object) -> dict[str, float]:
    """What a script in a fresh process prints."""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return found


@contextmanager
def tree_in(kept: Path | None, entries: int, pictures: int) -> Iterator[tuple[Path, float]]:
    """A folder with the tree and the files it is made of, and how long that took; removed afterwards, unless `kept`."""
    start = time.monotonic()
    with TemporaryDirectory(prefix="splitkit-tree-") if kept is None else nullcontext(kept) as name:
        place = Path(name)
        if not (place / "complete").exists():
            place.mkdir(exist_ok=True)
            make_tree(place / "tree", make_pictures(place / "pool", pictures), entries)
            (place / "complete").touch()
        yield place, time.monotonic() - start
        status("")


def run(entries: int, pictures: int, batches: int, kept: Path | None) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """Figures, and one row per opening."""
    cores = len(os.sched_getaffinity(0))
    with tree_in(kept, entries, pictures) as (place, made_s):
        root, index = place / "tree", place / "pictures.db"
        index.unlink(missing_ok=True)
        files = sorted((place / "pool").iterdir())
        kib = sum(path.stat().st_size for path in files) / len(files) / 1024
        rows: list[dict[str, Any]] = []
        for what, part in (
            ("first, no index", "train"),
            ("second", "train"),
            ("one picture added", "train"),
            ("test set, first", "test"),
        ):
            if what == "one picture added":
                os.link(files[0], root / "train" / f"0000 {ALPHABETS[0]}" / f"new {time.time_ns()}.JPEG")
            status(f"opening: {what}")
            found = ask(OPEN, root, index, part)
            rows.append({"opened": what, "files": int(found["files"]), "seconds": found["seconds"]})
            rows[-1] |= {"peak MiB": found["peak"], "before MiB": found["before"]}
        status("decoding")
        one, all_cores = (ask(DECODE, root, index, workers, batches) for workers in (1, cores))
        index_mib = index.stat().st_size / 2**20
        status("removing the tree")
    by_name = {row["opened"]: row for row in rows}
    figures = {
        "entries": float(entries),
        "picture_kib": kib,
        "making_s": made_s,
        "first_open_s": by_name["first, no index"]["seconds"],
        "second_open_s": by_name["second"]["seconds"],
        "changed_open_s": by_name["one picture added"]["seconds"],
        "first_open_peak_rss_mib": by_name["first, no index"]["peak MiB"],
        "second_open_peak_rss_mib": by_name["second"]["peak MiB"],
        "rss_before_mib": by_name["second"]["before MiB"],
        "index_mib": index_mib,
        "decoded_per_s_one_thread": one["per_s"],
        "decoded_per_core_second": one["per_core_s"],
        "decoded_per_s_all_cores": all_cores["per_s"],
        "cores": float(cores),
    }
    return figures, rows


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument("--entries", type=int, default=1_300_000, help="links in the tree")
    parser.add_argument(
        "--pictures", type=int, default=300, help="files they lead to; a file has room for 65,000 links"
    )
    parser.add_argument("--batches", type=int, default=20, help="of 64 pictures that are decoded")
    parser.add_argument(
        "--tree", type=Path, help="a new folder for the tree, which stays, or one that an earlier run left"
    )
    arguments = parser.parse_args()
    if arguments.entries < 10_000:
        parser.error("--entries: 10000 at least: a smaller set is kept in memory and has no index")
    figures, rows = run(arguments.entries, arguments.pictures, arguments.batches, arguments.tree)
    emit("large_tree", figures, rows, as_json=arguments.json)


if __name__ == "__main__":
    main()
