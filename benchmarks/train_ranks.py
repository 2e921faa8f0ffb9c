"""What a second rank is worth: images per second of two gloo ranks on two cores over one rank on one core.

    python benchmarks/train_ranks.py [--space cifar] [--batch 64] [--sandwich-every 1] [--rounds 3] [--json]

Both are started by torchrun and train the supernet of a space on random images, one thread a rank, each rank pinned to
a core of its own; the first steps are left out. They take turns. Every image of a step goes through all its
sub-networks with `--sandwich-every 1`, as the larger spaces train; with more, between sandwiches each sub-network has
images of its own. Figure `speedup_2_ranks`: the ratio of the medians. Run it on a machine that is idle otherwise.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from report import emit, status
from splitkit.data import Dataset, Samples
from splitkit.data.augment import MirrorAndShift
from splitkit.space import SearchSpace, load_space
from splitkit.training import StepReport, TrainConfig, train
from splitkit.training.joining import joined

WARM_UP = 4
"""Steps left out: kernels are compiled in them."""


def main() -> None:
    """Measure, print a table or one JSON object."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--space", default="cifar", help="a preset or a .toml file")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--random-subnetworks", type=int, default=2)
    parser.add_argument("--sandwich-every", type=int, default=1)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--output", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    config = TrainConfig(
        steps=WARM_UP + given.steps,
        batch=given.batch,
        learning_rate=1e-3,
        random_subnetworks=given.random_subnetworks,
        sandwich_every=given.sandwich_every,
    )
    if given.output:
        trained(load_space(given.space), config, given.output)
        return
    found: dict[int, list[float]] = {1: [], 2: []}
    for number in range(given.rounds):
        for ranks, rates in found.items():
            status(f"round {number + 1} of {given.rounds}: ranks: {ranks}")
            rates.append(images_per_second(ranks))
    status("")
    rows = [
        {"ranks": ranks, "images_per_s": float(np.median(rates)), "slowest": min(rates), "fastest": max(rates)}
        for ranks, rates in found.items()
    ]
    figures = {"speedup_2_ranks": float(np.median(found[2]) / np.median(found[1]))}
    notes = (
        f"{given.space}, batch {given.batch}, {given.random_subnetworks} random sub-networks, a sandwich every "
        f"{given.sandwich_every}; medians of {given.rounds} interleaved rounds of {given.steps} steps."
    )
    emit("train_ranks", figures, rows, as_json=given.json, notes=notes)


def images_per_second(ranks: int) -> float:
    """Of so many ranks, in processes of their own, with the options this program was given."""
    with tempfile.TemporaryDirectory(prefix="splitkit-") as folder:
        output = Path(folder) / "rate.json"
        launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)]
        subprocess.run(
            [*launch, __file__, *sys.argv[1:], "--output", str(output)],
            check=True, capture_output=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        rate: float = json.loads(output.read_text())
        return rate


def trained(space: SearchSpace, config: TrainConfig, output: Path) -> None:
    """Train as one rank; the first writes how many images a second went by."""
    times: list[float] = []
    with joined("cpu") as ranks:
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[ranks.rank % len(cores)]})

        def note(report: StepReport) -> None:
            if report.step in (WARM_UP, config.steps):
                times.append(time.monotonic())

        train(space, random_images(space, config), config, output.with_name("supernet.pt"), report=note, ranks=ranks)
        if ranks.rank == 0:
            steps = range(WARM_UP, config.steps)
            sandwiches = sum(step % config.sandwich_every == 0 for step in steps)
            images = config.batch * (sandwiches + (len(steps) - sandwiches) * config.random_subnetworks)
            output.write_text(json.dumps(images / (times[1] - times[0])))


def random_images(space: SearchSpace, config: TrainConfig) -> Dataset:
    """As many as a step takes, twice."""
    count = 2 * config.batch * config.random_subnetworks
    generator = torch.Generator().manual_seed(0)
    shape = (count, space.views, space.input.channels, space.input.size, space.input.size)
    samples = Samples(
        torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator),
        torch.randint(0, space.head.classes, (count,), generator=generator),
    )
    classes = tuple(f"class {number}" for number in range(space.head.classes))
    return Dataset("random", "random images", classes, samples, samples, MirrorAndShift(True), lambda: (samples, ()))


if __name__ == "__main__":
    main()
