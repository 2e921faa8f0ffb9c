"""What pays in the training of a supernet? Variations of one recipe, each given the same time.

Every variation trains the supernet on one thread for so many seconds of its core, its schedule fitted to them, and is
scored on the search slice, which training does not see: the largest network, the median of random ones, and the
smallest, with shared weights and batch norms recalibrated. A later seed changes the order of the data, the networks
drawn and the initial weights.

    python benchmarks/recipe.py --data CIFAR10 [--work recipe-work] [--seconds 900] [--seeds 0] [--only NAME] [--json]

What is in `--work` already is not run again, so that several of these may run side by side, each with its own `--only`.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from report import emit, status
from splitkit.data import Dataset, load_dataset
from splitkit.space import Sampler, SearchSpace, load_space
from splitkit.supernet import Supernet
from splitkit.training import StepReport, TrainConfig, calibration_images, score, train
from splitkit.training.budget import fit_training
from splitkit.training.config import default_train_config
from splitkit.training.precision import pick_precision

NETWORKS = 24
"""Random ones that are scored."""

Prepare = Callable[[Supernet, Dataset], object]


@dataclass(frozen=True)
class Variation:
    """One recipe: what it changes in the space's schedule, and what is done to the fresh supernet."""

    changes: dict[str, Any] = field(default_factory=dict)
    shift: int | None = None
    prepare: Prepare = lambda supernet, data: None
    average: float = 0.0


def whiten_stem(supernet: Supernet, data: Dataset) -> None:
    """Fixed first filters: the principal components of patches of the training images, and their negatives."""
    convolution = supernet.sensor.unit("stem").conv("conv")
    outputs, inputs, kernel, _ = convolution.weight.shape
    images = data.train.take(torch.arange(2000)).images.flatten(0, 1).float() / 255
    patches = images.unfold(2, kernel, 4).unfold(3, kernel, 4).permute(0, 2, 3, 1, 4, 5).flatten(0, 2).flatten(1)
    values, vectors = torch.linalg.eigh(torch.cov(patches.T))
    filters = (vectors / (values + 5e-4).sqrt()).T.flip(0)
    filters = torch.stack([filters, -filters], 1).flatten(0, 1)[:outputs]
    with torch.no_grad():
        convolution.weight.copy_(filters.view(-1, inputs, kernel, kernel))
    convolution.weight.requires_grad_(False)


VARIATIONS = {
    "default": Variation(),
    "sgd": Variation({"optimiser": "sgd", "learning_rate": 0.1, "weight_decay": 5e-4}),
    "sgd, learning rate x 2": Variation({"optimiser": "sgd", "learning_rate": 0.2, "weight_decay": 5e-4}),
    "adamw": Variation({"optimiser": "adamw", "learning_rate": 4e-3, "weight_decay": 0.05}),
    "learning rate x 2": Variation({"learning_rate": 0.1}),
    "learning rate / 2": Variation({"learning_rate": 0.025}),
    "shift 2": Variation(shift=2),
    "no label smoothing": Variation({"label_smoothing": 0.0}),
    "whitened stem": Variation(prepare=whiten_stem),
    "largest alone, 0.3": Variation({"largest_alone": 0.3}),
    "largest never alone": Variation({"largest_alone": 0.0}),
    "never coarse": Variation({"coarse": 0.0}),
    "batch 64": Variation({"batch": 64, "learning_rate": 0.035}),
    "batch 256": Variation({"batch": 256, "learning_rate": 0.06}),
    "sandwich every 4th": Variation({"sandwich_every": 4}),
    "one random network": Variation({"random_subnetworks": 1}),
    "four random networks": Variation({"random_subnetworks": 4}),
    "moving average": Variation(average=0.998),
    "separate sides": Variation({"sides": "separate"}),
}


def scores(supernet: Supernet, data: Dataset) -> dict[str, float]:
    """Accuracies on the search slice."""
    space, calibration = supernet.space, calibration_images(data.train)
    sampler = Sampler(space, np.random.default_rng(30))
    drawn = [space.largest(0), space.smallest(0), *(sampler.uniform() for _ in range(NETWORKS))]
    found = [score(supernet, a, data.search, calibration).score for a in drawn]
    largest, smallest, *others = (each.accuracy for each in found)
    return {
        "largest": largest,
        "random median": float(np.median(others)),
        "random worst": min(others),
        "smallest": smallest,
        "random log likelihood": float(np.mean([each.log_likelihood for each in found[2:]])),
    }


class Average:
    """An exponential moving average of weights."""

    def __init__(self, decay: float) -> None:
        self.decay = decay
        self.supernet: Supernet | None = None
        self.kept: list[Tensor] = []

    def watch(self, supernet: Supernet) -> None:
        self.supernet, self.kept = supernet, [p.detach().clone() for p in supernet.parameters()]

    def step(self, _: StepReport) -> None:
        if self.decay and self.supernet is not None:
            torch._foreach_lerp_(self.kept, [p.detach() for p in self.supernet.parameters()], 1 - self.decay)

    def put(self) -> None:
        if self.decay and self.supernet is not None:
            with torch.no_grad():
                for p, kept in zip(self.supernet.parameters(), self.kept, strict=True):
                    p.copy_(kept)


def run(space: SearchSpace, source: str, variation: Variation, seed: int, seconds: float, work: Path) -> dict[str, Any]:
    """Train and score one variation."""
    reading = {} if source == "digits" else {"mirror": True, "shift": variation.shift}
    data = load_dataset(source, space, search_images=2000, **reading)
    precision = pick_precision("auto", space, torch.device("cpu"))
    changes = {"seed": seed, "precision": precision} | variation.changes
    config = TrainConfig.model_validate(default_train_config(space).model_dump() | changes)
    config = fit_training(seconds, space, data, config, "cpu", clock=time.process_time)
    average = Average(variation.average)

    def prepare(supernet: Supernet) -> None:
        variation.prepare(supernet, data)
        average.watch(supernet)

    supernet = train(space, data, config, work, device="cpu", report=average.step, prepare=prepare)
    average.put()
    return {"steps": config.steps, **scores(supernet, data)}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="CIFAR-10 as an image folder; or digits, with --space tiny")
    parser.add_argument("--space", default="cifar", help="a preset or a .toml file")
    parser.add_argument("--work", type=Path, default=Path("recipe-work"), help="results are kept here")
    parser.add_argument("--seconds", type=float, default=900.0, help="of training, for each")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--only", nargs="+", choices=list(VARIATIONS), default=list(VARIATIONS), metavar="NAME")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.work.mkdir(parents=True, exist_ok=True)
    space, rows = load_space(given.space), []
    for seed in given.seeds:
        for name in given.only:
            kept = given.work / f"{name}, seed {seed}.json".replace("/", "by")
            if not kept.exists():
                status(f"{name}, seed {seed}")
                weights = kept.with_suffix(".pt")
                weights.unlink(missing_ok=True)
                found = run(space, given.data, VARIATIONS[name], seed, given.seconds, weights)
                kept.write_text(json.dumps({"variation": name, "seed": seed, **found}), encoding="utf-8")
            rows.append(json.loads(kept.read_text(encoding="utf-8")))
    emit("recipe", figures_of(rows), rows, as_json=given.json)


def figures_of(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Mean gain of the random median over the default, over the seeds that both have."""
    median = {(row["variation"], row["seed"]): row["random median"] for row in rows}
    gain = partial(_gain, median)
    names = {name for name, _ in median} - {"default"}
    return {f"gain, {name}": value for name in sorted(names) if (value := gain(name)) is not None}


def _gain(median: dict[tuple[str, int], float], name: str) -> float | None:
    pairs = [median[name, s] - median["default", s] for n, s in median if n == name and ("default", s) in median]
    return float(np.mean(pairs)) if pairs else None


if __name__ == "__main__":
    main()
