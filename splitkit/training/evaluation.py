"""Accuracy of sub-networks with the supernet's weights, and of networks of their own."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from splitkit.data import Samples, SampleSource, batches_of
from splitkit.errors import TrainingError
from splitkit.space.architecture import Architecture
from splitkit.supernet import SubNetwork, Supernet, calibrate, evaluation_batch
from splitkit.training.optimise import first_not_finite

CALIBRATION_IMAGES = 512
"""Enough for batch-norm statistics; AttentiveNAS and Once-for-All use a few hundred to two thousand."""


def calibration_images(samples: SampleSource, count: int = CALIBRATION_IMAGES, seed: int = 0) -> Tensor:
    """A seeded draw of training images, not augmented: uint8 (count or all, views, channels, size, size)."""
    order = torch.randperm(len(samples), generator=torch.Generator().manual_seed(seed))
    return samples.take(order[:count]).images


@torch.no_grad()
def score(supernet: Supernet, architecture: Architecture, samples: SampleSource, calibration: Tensor) -> float:
    """Accuracy in [0, 1] of one sub-network: batch norms recalibrated, the link's precision applied.

    Args:
        supernet: left as it is.
        architecture: canonical member of its space.
        samples: what to score on.
        calibration: training images from which statistics and link range are taken.
    """
    statistics = calibrate(supernet, architecture, calibration)
    correct = 0
    for batch in batches_of(samples, evaluation_batch(calibration)):
        scores = supernet(batch.images.to(calibration.device), architecture, statistics)
        correct += int((scores.argmax(1) == batch.labels.to(scores.device)).sum())
    return correct / len(samples)


@torch.no_grad()
def score_subnetwork(subnetwork: SubNetwork, samples: SampleSource) -> float:
    """Accuracy in [0, 1] of an extracted sub-network as it would be deployed."""
    training = subnetwork.training
    subnetwork.eval()
    correct = 0
    device = next(subnetwork.parameters()).device
    for batch in batches_of(samples, evaluation_batch(samples.take(torch.arange(1)).images)):
        correct += int((subnetwork(batch.images.to(device)).argmax(1).cpu() == batch.labels.cpu()).sum())
    subnetwork.train(training)
    return correct / len(samples)


class SupernetEvaluator:
    """Ranks architectures for a search: accuracy on the search slice, remembered per architecture.

    Attributes:
        cache: accuracies by canonical architecture; may be filled beforehand from an earlier run.
    """

    def __init__(
        self,
        supernet: Supernet,
        search: Samples,
        calibration: Tensor,
        cache: dict[Architecture, float] | None = None,
    ) -> None:
        """`search` and `calibration` (images of the training set) are moved to the supernet's device.

        Raises:
            TrainingError: a weight of the supernet is NaN or infinite: its scores would rank nothing.
        """
        if (name := first_not_finite(supernet)) is not None:
            raise TrainingError(
                f"the supernet cannot be searched: {name} holds values that are not finite", "train again"
            )
        device = next(supernet.parameters()).device
        self.supernet = supernet
        self.search = search.to(device)
        self.calibration = calibration.to(device)
        self.cache: dict[Architecture, float] = {} if cache is None else cache

    @property
    def images(self) -> int:
        """How many images each accuracy is estimated on."""
        return len(self.search)

    def accuracy(self, architectures: Sequence[Architecture]) -> NDArray[np.float64]:
        """Accuracy of each, shape (n,), in [0, 1]."""
        for architecture in architectures:
            if architecture not in self.cache:
                self.cache[architecture] = score(self.supernet, architecture, self.search, self.calibration)
        return np.array([self.cache[architecture] for architecture in architectures], dtype=np.float64)
