"""One training step of a supernet: what is drawn, run and added up."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import partial

import torch.nn.functional as F
from torch import Tensor

from splitkit.data import Dataset
from splitkit.space.architecture import Architecture
from splitkit.space.network import describe
from splitkit.space.search_space import SearchSpace
from splitkit.supernet import Supernet
from splitkit.training.config import TrainConfig
from splitkit.training.optimise import Batches, apply_gradients, make_optimiser
from splitkit.training.progress import StepReport
from splitkit.training.sandwich import Sandwich, SandwichSampler
from splitkit.training.workers import Workers, parts_of, side_by_side

UNIT_COST = 4e6
"""What running a unit costs whatever its size, in multiply-accumulates of a training step."""


class Steps:
    """The steps of one training run; what a step does depends on its number and the state it finds alone.

    Attributes:
        supernet: trained in place, on its device.
        optimiser: whose state goes with it.
    """

    def __init__(self, supernet: Supernet, data: Dataset, config: TrainConfig) -> None:
        self.supernet = supernet
        self.config = config
        self.optimiser = make_optimiser(supernet, config)
        self._device = next(supernet.parameters()).device
        # Between sandwiches every sub-network has images of its own: as much work, and the weights see more of them.
        shares = config.random_subnetworks if config.sandwich_every > 1 else 1
        self._batches = Batches(data.train, data.augmentation, config.seed, shares * config.batch)
        self._sandwiches = SandwichSampler(
            supernet.space, config.random_subnetworks, config.seed, config.sandwich_every
        )

    def workers(self, threads: int) -> AbstractContextManager[Workers[Supernet]]:
        """As many as there is work for, of so many threads."""
        most = max(self.config.random_subnetworks, parts_of(self.config.batch, threads))
        return side_by_side(self.supernet, threads, most if self._device.type == "cpu" else 1)

    def take(self, step: int, workers: Workers[Supernet]) -> StepReport:
        """Take a step, counted from 0.

        Raises:
            TrainingError: a gradient is not finite; the weights are left as they were.
        """
        sandwich = self._sandwiches.draw(step)
        wanted = slice(None if sandwich.teacher is None else self.config.batch)
        images, labels = (tensor[wanted].to(self._device) for tensor in self._batches[step])
        loss, accuracy = backward(workers, sandwich, images, labels, self.config.label_smoothing)
        apply_gradients(self.supernet, self.optimiser, step, self.config)
        return StepReport(step + 1, self.config.steps, loss, accuracy)


def backward(
    workers: Workers[Supernet], sandwich: Sandwich, images: Tensor, labels: Tensor, label_smoothing: float = 0.0
) -> tuple[float, float]:
    """Add the gradients of one batch for all sub-networks of a sandwich; loss and accuracy of the first one.

    With a teacher the batch is cut into parts, one a worker, through which all networks go; their batch norms see a
    part at a time. Without one, each network sees a share of its own.
    """
    if sandwich.teacher is not None:
        parts = parts_of(len(labels), workers.count)
        shares = list(zip(images.tensor_split(parts), labels.tensor_split(parts), strict=True))
        weights = [len(share[1]) / len(labels) for share in shares]
        tasks = [
            partial(_teach, sandwich.teacher, sandwich.students, share, weight, label_smoothing)
            for share, weight in zip(shares, weights, strict=True)
        ]
        found = workers.run(tasks, weights)
        loss, accuracy = (sum(w * f[i] for w, f in zip(weights, found, strict=True)) for i in (0, 1))
        return loss, accuracy
    count = len(sandwich.students)
    # Fewer than two images would leave a batch norm nothing to average.
    parts = count if len(labels) >= 2 * count else 1
    shares = list(zip(images.tensor_split(parts), labels.tensor_split(parts), strict=True)) * (count // parts)
    pairs = list(zip(sandwich.students, shares, strict=True))
    costs = [_cost(workers.model.space, student, len(share[1])) for student, share in pairs]
    return workers.run([partial(_learn, student, share, label_smoothing) for student, share in pairs], costs)[0]


def _teach(
    teacher: Architecture,
    students: Sequence[Architecture],
    share: tuple[Tensor, Tensor],
    weight: float,
    label_smoothing: float,
    supernet: Supernet,
) -> tuple[float, float]:
    """The teacher learns from the labels, the students from what it says of the same images."""
    images, labels = share
    scores = supernet(images, teacher)
    loss = F.cross_entropy(scores, labels, label_smoothing=label_smoothing)
    (loss * weight).backward()  # type: ignore[no-untyped-call]
    answers = scores.detach().softmax(1)
    for student in students:
        (F.cross_entropy(supernet(images, student), answers) * weight).backward()  # type: ignore[no-untyped-call]
    return float(loss.detach()), float((scores.argmax(1) == labels).float().mean())


def _learn(
    student: Architecture, share: tuple[Tensor, Tensor], label_smoothing: float, supernet: Supernet
) -> tuple[float, float]:
    images, labels = share
    scores = supernet(images, student)
    loss = F.cross_entropy(scores, labels, label_smoothing=label_smoothing)
    loss.backward()  # type: ignore[no-untyped-call]
    return float(loss.detach()), float((scores.argmax(1) == labels).float().mean())


def _cost(space: SearchSpace, architecture: Architecture, images: int) -> float:
    network = describe(space, architecture)
    macs = network.macs("sensor") + network.macs("aggregator")
    return images * macs + UNIT_COST * (len(network.sensor) + len(network.aggregator))
