"""Are the networks of a trained supernet worth comparing? What `cifar10.py` says of them beside its fronts.

* How accurate sub-networks are with shared weights, batch norms recalibrated: the largest, and the median of random
  ones.
* Whether the order that shared weights give is the order of networks trained on: Kendall's tau between both, over
  sub-networks spread over a front, scored on the search slice, which neither training sees.
* How accurate deployed networks are: fine-tuned for a time, with distillation where the space's schedule has it.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import kendalltau

from splitkit.data import Dataset
from splitkit.project import Project
from splitkit.project.steps import finalist_tuner, finish_networks
from splitkit.search import Point
from splitkit.search.front import spread
from splitkit.space import Architecture, Sampler, SearchSpace, describe
from splitkit.supernet import Supernet
from splitkit.training import calibration_images, score, score_subnetwork

BOOTSTRAPS = 2000


def total_macs(space: SearchSpace, architecture: Architecture) -> int:
    """Multiply-accumulates of both sides."""
    network = describe(space, architecture)
    return network.macs("sensor") + network.macs("aggregator")


def shared_accuracies(supernet: Supernet, data: Dataset, count: int, seed: int) -> dict[str, float]:
    """Test accuracy with shared weights: of the largest network, and the median and worst of random ones."""
    space, calibration = supernet.space, calibration_images(data.train)
    sampler = Sampler(space, np.random.default_rng([seed, 30]))
    drawn = [space.largest(0), *(sampler.uniform() for _ in range(count))]
    largest, *others = (score(supernet, a, data.test, calibration).score.accuracy for a in drawn)
    return {
        "largest_accuracy": largest,
        "random_median_accuracy": float(np.median(others)),
        "random_worst_accuracy": min(others),
    }


def rank_quality(
    project: Project, supernet: Supernet, data: Dataset, points: Sequence[Point], count: int, steps: int
) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """Kendall's tau between shared weights and weights of one's own, with a bootstrap interval over networks."""
    places = spread(np.array([point.total_us for point in points]), count)
    chosen = [points[i] for i in places]
    tuner = finalist_tuner(project, supernet, data)
    tuned = [scores.score.accuracy for scores in tuner.tune([point.architecture for point in chosen], [steps])]
    shared = np.array([point.accuracy for point in chosen])
    own, rng = np.array(tuned), np.random.default_rng(0)
    taus = []
    for _ in range(BOOTSTRAPS):
        again = rng.integers(0, len(own), len(own))
        taus.append(kendalltau(shared[again], own[again]).statistic)
    low, high = np.nanpercentile(taus, [2.5, 97.5])
    figures = {
        "rank_tau": float(kendalltau(shared, own).statistic),
        "rank_tau_low": float(low),
        "rank_tau_high": float(high),
        "rank_networks": float(len(own)),
    }
    rows = [
        {
            "network": str(point.architecture),
            "MMAC": total_macs(supernet.space, point.architecture) / 1e6,
            "shared": point.accuracy,
            f"after {steps} steps": accuracy,
        }
        for point, accuracy in zip(chosen, tuned, strict=True)
    ]
    return figures, rows


def deployed_accuracies(
    project: Project, supernet: Supernet, data: Dataset, points: Sequence[Point], most_macs: float
) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """Test accuracy after fine-tuning of the most accurate split network, and of the most accurate small one.

    Both are chosen by the search's own scores.
    """
    space = supernet.space
    candidates = {
        "split": [point for point in points if point.architecture.placement == "split"],
        "small": [point for point in points if total_macs(space, point.architecture) <= most_macs],
    }
    best = {name: max(found, key=lambda p: p.log_likelihood) for name, found in candidates.items() if found}
    networks = finish_networks(project, supernet, [point.architecture for point in best.values()], data)
    figures, rows = {}, []
    for (name, point), network in zip(best.items(), networks, strict=True):
        accuracy = score_subnetwork(network, data.test).score.accuracy
        figures[f"deployed_{name}_accuracy"] = accuracy
        rows.append(
            {
                "deployed": name,
                "network": str(point.architecture),
                "MMAC": total_macs(space, point.architecture) / 1e6,
                "shared": point.accuracy,
                "test, fine-tuned": accuracy,
            }
        )
    return figures, rows
