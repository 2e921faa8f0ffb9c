"""What a second worker of a Ray cluster is worth to a search: candidates per second of two over those of one.

    python benchmarks/search_cluster.py [--space cifar] [--candidates 16] [--images 256] [--rounds 3] [--json]

Scores random candidates on a local cluster of one worker, of two, and in one process with as many threads as there are
processors, in turn; each in a process of its own, from the moment when its workers have scored some others.
Figure `speedup_2_workers`: one worker's time by that of two, medians. `over_one_process`: two workers' time by that of
the one process. All come to the same scores, or it fails. Run it on a machine that is idle otherwise.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch

from report import emit, status
from splitkit.data import Samples
from splitkit.scores import Score
from splitkit.search import Evaluator
from splitkit.space import Sampler, load_space
from splitkit.supernet import Supernet
from splitkit.training import SupernetEvaluator
from splitkit.training.evaluation import RANKING_IMAGES
from splitkit.training.ray_cluster import ray_cluster
from splitkit.training.ray_evaluation import RayEvaluator

WARM_UP = 6
"""Candidates that are scored before time is taken: workers load torch and fetch the supernet."""

WAYS = {"one worker": 1, "two workers": 2, "one process": 0}


def main() -> None:
    """Measure, print a table or one JSON object."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--space", default="cifar")
    parser.add_argument("--candidates", type=int, default=16)
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--workers", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.workers is not None:
        print(json.dumps(timed(given.space, given.candidates, given.images, given.workers)))
        return
    found: dict[str, list[float]] = {name: [] for name in WAYS}
    scores = []
    for number in range(given.rounds):
        for name, workers in WAYS.items():
            status(f"round {number + 1} of {given.rounds}: {name}")
            times = alone(given, workers)
            found[name].append(times["seconds"])
            scores.append(times["scores"])
    status("")
    if any(one != scores[0] for one in scores):
        sys.exit("not all came to the same scores")
    median = {name: float(np.median(seconds)) for name, seconds in found.items()}
    rows = [
        {
            "way": name,
            "s": median[name],
            "fastest": min(seconds),
            "slowest": max(seconds),
            "candidates_per_s": given.candidates / median[name],
        }
        for name, seconds in found.items()
    ]
    figures = {
        "speedup_2_workers": median["one worker"] / median["two workers"],
        "over_one_process": median["two workers"] / median["one process"],
        "load_at_end": os.getloadavg()[0],
    }
    notes = f"{given.candidates} candidates of {given.space} on {given.images} images; {given.rounds} rounds."
    emit("search_cluster", figures, rows, as_json=given.json, notes=notes)


def alone(given: argparse.Namespace, workers: int) -> dict[str, Any]:
    """`timed` in a process of its own."""
    command = [sys.executable, __file__, "--space", given.space, "--candidates", str(given.candidates)]
    command += ["--images", str(given.images), "--workers", str(workers)]
    times: dict[str, Any] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
    return times


def timed(space_name: str, candidates: int, images: int, workers: int) -> dict[str, Any]:
    """Seconds for all candidates but those of the warm-up, and the scores; without workers in this process."""
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    space = load_space(space_name)
    chance = torch.Generator().manual_seed(0)
    shape = (space.views, space.input.channels, space.input.size, space.input.size)
    every = torch.randint(0, 256, (images + RANKING_IMAGES, *shape), generator=chance).to(torch.uint8)
    labels = torch.randint(0, space.head.classes, (images,), generator=chance)
    own = SupernetEvaluator(Supernet(space), Samples(every[:images], labels), every[images:])
    sampler = Sampler(space, np.random.default_rng(0))
    drawn = list(dict.fromkeys(sampler.uniform() for _ in range(2 * (WARM_UP + candidates))))
    with ExitStack() as stack:
        evaluator: Evaluator = own
        if workers:
            stack.enter_context(ray_cluster("local", workers=workers))
            evaluator = RayEvaluator(own)
        evaluator.score(drawn[:WARM_UP])
        start = time.monotonic()
        scores: list[Score] = list(evaluator.score(drawn[WARM_UP : WARM_UP + candidates]))
        seconds = time.monotonic() - start
    return {"seconds": seconds, "scores": [[score.accuracy, score.log_likelihood] for score in scores]}


if __name__ == "__main__":
    main()
