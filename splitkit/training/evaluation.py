"""How well sub-networks classify: with the supernet's weights, and with weights of their own."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from splitkit.data import Samples, SampleSource, batches_of
from splitkit.errors import TrainingError
from splitkit.scores import ImageScores, Score
from splitkit.space.architecture import Architecture
from splitkit.supernet import CutNetwork, SubNetwork, Supernet, calibrate, evaluation_batch
from splitkit.training.optimise import first_not_finite
from splitkit.training.parallel import Check, in_parallel

CALIBRATION_IMAGES = 512
"""Enough for batch-norm statistics; AttentiveNAS and Once-for-All use a few hundred to two thousand."""

RANKING_IMAGES = 256
"""Enough of them to rank candidates, of which hundreds are calibrated and most never heard of again."""


def calibration_images(samples: SampleSource, count: int = CALIBRATION_IMAGES, seed: int = 0) -> Tensor:
    """A seeded draw of training images, not augmented: uint8 (count or all, views, channels, size, size)."""
    order = torch.randperm(len(samples), generator=torch.Generator().manual_seed(seed))
    return samples.take(order[:count]).images


@torch.no_grad()
def score(supernet: Supernet, architecture: Architecture, samples: SampleSource, calibration: Tensor) -> ImageScores:
    """What one sub-network says of each image: batch norms recalibrated, the link's precision applied.

    Args:
        supernet: left as it is.
        architecture: canonical member of its space.
        samples: what to score on.
        calibration: training images from which statistics and link range are taken.
    """
    statistics = calibrate(supernet, architecture, calibration)
    return _image_scores(
        lambda images: supernet(images.to(calibration.device), architecture, statistics),
        samples,
        evaluation_batch(calibration),
    )


@torch.no_grad()
def score_subnetwork(
    subnetwork: SubNetwork | CutNetwork, samples: SampleSource, present: Sequence[bool] | None = None
) -> ImageScores:
    """What a network of its own says of each image, as it would be deployed.

    `present`: in a masked space, which of the views are there.
    """
    training = subnetwork.training
    subnetwork.eval()
    device = next(subnetwork.parameters()).device
    mask = None if present is None else torch.tensor(present, dtype=torch.float32, device=device)

    def scores(images: Tensor) -> Tensor:
        found: Tensor = subnetwork(images.to(device), None if mask is None else mask.expand(len(images), -1))
        return found

    found = _image_scores(scores, samples, evaluation_batch(samples.take(torch.arange(1)).images))
    subnetwork.train(training)
    return found


def _image_scores(network: Callable[[Tensor], Tensor], samples: SampleSource, batch: int) -> ImageScores:
    parts = [(network(part.images).double().cpu(), part.labels.cpu()) for part in batches_of(samples, batch)]
    scores, labels = (torch.cat(column).numpy() for column in zip(*parts, strict=True))
    return ImageScores.of(scores, labels)


class SupernetEvaluator:
    """Ranks architectures for a search: their scores on the search slice, remembered per architecture.

    Attributes:
        cache: scores by canonical architecture; may be filled beforehand from an earlier run.
    """

    def __init__(
        self,
        supernet: Supernet,
        search: Samples,
        calibration: Tensor,
        cache: dict[Architecture, Score] | None = None,
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
        self.cache: dict[Architecture, Score] = {} if cache is None else cache

    @property
    def images(self) -> int:
        """How many images each score is estimated on."""
        return len(self.search)

    def score(self, architectures: Sequence[Architecture]) -> list[Score]:
        """The score of each; several networks at once."""

        def found(architecture: Architecture, check: Check) -> Score:
            check()
            return score(self.supernet, architecture, self.search, self.calibration).score

        unknown = list(dict.fromkeys(a for a in architectures if a not in self.cache))
        self.cache |= zip(unknown, in_parallel(found, self.supernet, unknown), strict=True)
        return [self.cache[architecture] for architecture in architectures]
