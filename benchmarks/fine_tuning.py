"""What pays in the fine-tuning of a deployed network? Variations of one schedule, each given the same time.

Of random split networks of at most `--most-macs` the best on the search slice is taken out of a trained supernet and
fine-tuned on one thread for so many seconds of its core, the schedule fitted to them; it is scored on the search slice,
which no training sees, as it was with shared weights. The teacher, where a variation has one, is the supernet's largest
network.

    python benchmarks/fine_tuning.py --data CIFAR10 --supernet RUN/supernet.pt [--most-macs 12.5e6] [--seconds 300]
        [--work fine-tuning-work] [--only NAME] [--json]

What is in `--work` already is not run again, so that several of these may run side by side, each with its own `--only`.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from network_quality import total_macs

from report import emit, status
from splitkit.data import Dataset, load_dataset
from splitkit.space import Architecture, Sampler, load_space
from splitkit.supernet import Supernet, extract
from splitkit.training import FineTuneConfig, calibration_images, fine_tune, score, score_subnetwork
from splitkit.training.budget import CHUNK, of_steps, steps_within
from splitkit.training.checkpoint import load_supernet
from splitkit.training.config import default_fine_tune_config
from splitkit.training.finetune import FineTuning, largest_network
from splitkit.training.precision import pick_precision

DRAWN = 48
"""Random networks of which the best is taken."""

VARIATIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "rate 0.01": {"learning_rate": 0.01},
    "rate 0.02": {"learning_rate": 0.02},
    "rate 0.04": {"learning_rate": 0.04},
    "no teacher": {"distillation": 0.0},
    "rate 0.02, no teacher": {"learning_rate": 0.02, "distillation": 0.0},
    "teacher alone": {"distillation": 1.0},
    "batch 128": {"batch": 128},
    "rate 0.02, batch 128, no teacher": {"learning_rate": 0.02, "batch": 128, "distillation": 0.0},
    "rate 0.04, batch 128, no teacher": {"learning_rate": 0.04, "batch": 128, "distillation": 0.0},
    "rate 0.02, batch 128": {"learning_rate": 0.02, "batch": 128},
    "adamw": {"optimiser": "adamw", "learning_rate": 1e-3, "weight_decay": 0.05},
}


def best_of_random(supernet: Supernet, data: Dataset, most_macs: float) -> tuple[Architecture, float]:
    """A split network of not too many multiply-accumulates, and its accuracy with shared weights."""
    space, calibration = supernet.space, calibration_images(data.train)
    sampler, drawn = Sampler(space.restricted("split"), np.random.default_rng(40)), list[Architecture]()
    while len(drawn) < DRAWN:
        architecture = sampler.uniform()
        if most_macs / 4 <= total_macs(space, architecture) <= most_macs:
            drawn.append(architecture)
    found = [score(supernet, each, data.search, calibration).score for each in drawn]
    best = max(range(DRAWN), key=lambda i: found[i].log_likelihood)
    return drawn[best], found[best].accuracy


def run(
    supernet: Supernet, data: Dataset, architecture: Architecture, config: FineTuneConfig, seconds: float
) -> dict[str, Any]:
    """Steps that there was time for, and accuracy after them."""
    calibration = calibration_images(data.train)
    network = extract(supernet, architecture, calibration)
    teacher = largest_network(supernet, calibration) if config.distillation else None
    trial = FineTuning(extract(supernet, architecture, calibration), data.train, data.augmentation,
                       of_steps(config, 10**6), teacher)  # fmt: skip
    chunks = steps_within(seconds, lambda n: trial.advance(CHUNK, recalibrated=False), least=1, clock=time.process_time)
    config = of_steps(config, CHUNK * chunks)
    fine_tune(network, data.train, data.augmentation, config, teacher=teacher)
    found = score_subnetwork(network, data.search).score
    return {"steps": config.steps, "accuracy": found.accuracy, "log likelihood": found.log_likelihood}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="CIFAR-10 as an image folder; or digits, with --space tiny")
    parser.add_argument("--supernet", type=Path, required=True, help="a trained one")
    parser.add_argument("--space", default="cifar", help="a preset or a .toml file")
    parser.add_argument("--most-macs", type=float, default=12.5e6)
    parser.add_argument("--search-images", type=int, default=1000, help="as many as the supernet's training left out")
    parser.add_argument("--work", type=Path, default=Path("fine-tuning-work"), help="results are kept here")
    parser.add_argument("--seconds", type=float, default=300.0, help="of training, for each")
    parser.add_argument("--only", nargs="+", choices=list(VARIATIONS), default=list(VARIATIONS), metavar="NAME")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.work.mkdir(parents=True, exist_ok=True)
    space = load_space(given.space)
    reading = {} if given.data == "digits" else {"mirror": True}
    data = load_dataset(given.data, space, search_images=given.search_images, **reading)
    supernet = load_supernet(given.supernet, space).supernet
    chosen: tuple[Architecture, float] | None = None
    precision, rows = pick_precision("auto", space, torch.device("cpu")), []
    for name in given.only:
        kept = given.work / f"{name}, {given.most_macs:.3g}.json"
        if not kept.exists():
            chosen = chosen or best_of_random(supernet, data, given.most_macs)
            architecture, shared = chosen
            status(name)
            changes = {"precision": precision} | VARIATIONS[name]
            config = FineTuneConfig.model_validate(default_fine_tune_config(space).model_dump() | changes)
            found = run(supernet, data, architecture, config, given.seconds)
            row = {"variation": name, "network": str(architecture), "shared": shared, **found}
            kept.write_text(json.dumps(row), encoding="utf-8")
        rows.append(json.loads(kept.read_text(encoding="utf-8")))
    emit("fine_tuning", {}, rows, as_json=given.json, notes="One thread; time of the processor.")


if __name__ == "__main__":
    main()
