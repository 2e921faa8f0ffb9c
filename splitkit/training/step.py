"""One training step of a supernet: what is drawn, run and added up."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from splitkit.data import Dataset
from splitkit.errors import ConfigError
from splitkit.space.architecture import Architecture
from splitkit.space.network import describe
from splitkit.space.search_space import SearchSpace
from splitkit.supernet import Supernet
from splitkit.training.config import Precision, TrainConfig
from splitkit.training.frames import Frames, spans_of
from splitkit.training.muon import step_macs
from splitkit.training.optimise import Batches, apply_gradients, make_optimiser
from splitkit.training.precision import computing_in
from splitkit.training.progress import StepReport
from splitkit.training.ranks import Alone, Ranks
from splitkit.training.sandwich import Sandwich, SandwichSampler
from splitkit.training.threads import SHARED_MACS, torch_threads
from splitkit.training.view_dropout import drop_views
from splitkit.training.workers import LEAST_PART, Workers, parts_of, side_by_side

UNIT_COST = 4e6
"""What running a unit costs whatever its size, in multiply-accumulates of a training step."""

Result = tuple[float, float]
"""Loss and accuracy."""

Task = Callable[[Supernet], Result]


class Steps:
    """The steps of one training run; what a step does depends on its number and the state it finds alone.

    Attributes:
        supernet: trained in place, on its device, in the precision that `config` says.
        optimiser: whose state goes with it.
    """

    def __init__(self, supernet: Supernet, data: Dataset, config: TrainConfig, ranks: Ranks | None = None) -> None:
        """Raises ConfigError: there is not enough work in a step for so many ranks."""
        self.supernet = supernet
        self.config = config
        self.optimiser = make_optimiser(supernet, config)
        self._ranks = ranks or Alone()
        self._device = next(supernet.parameters()).device
        # Between sandwiches every sub-network has images of its own: as much work, and the weights see more of them.
        shares = config.random_subnetworks if config.sandwich_every > 1 else 1
        images, shared = shares * config.batch, self._ranks.size > 1
        self._batches = Batches(data.train, data.augmentation, config.seed, images, shared=shared)
        self._sandwiches = SandwichSampler(supernet.space, config)
        self._threads = 1
        if self._ranks.size > (most := self._most(self._ranks.size)):
            raise ConfigError(
                f"{self._ranks.size} ranks: a step of batch = {config.batch} has work for {most}",
                f"start fewer, or raise batch to {self._ranks.size * LEAST_PART}",
            )

    @contextmanager
    def workers(self, threads: int) -> Iterator[Workers[Supernet]]:
        """As many as there is work for, of so many threads a rank."""
        size, self._threads = self._ranks.size, threads if step_macs(self.optimiser) >= SHARED_MACS else 1
        most = math.ceil(self._most(size * threads) / size) if self._device.type == "cpu" else 1
        try:
            with side_by_side(self.supernet, threads, most, self._ranks) as workers:
                yield workers
        finally:
            self._batches.close()

    def _most(self, workers: int) -> int:
        """Of so many workers of all ranks, those that have something to do."""
        between = self.config.random_subnetworks if self.config.sandwich_every > 1 else 1
        return max(between, parts_of(self.config.batch, workers))

    def take(self, step: int, workers: Workers[Supernet]) -> StepReport:
        """Take a step, counted from 0.

        Raises:
            TrainingError: a gradient is not finite, or a rank was lost; the weights are left as they were.
        """
        sandwich = self._sandwiches.draw(step)
        images = self._batches.batch if sandwich.teacher is None else min(self._batches.batch, self.config.batch)
        pieces = pieces_of(self.supernet.space, sandwich, images, workers.count)
        costs = [piece.cost for piece in pieces]
        found = workers.run(self._tasks(step, pieces, workers.assign(costs)), costs)
        loss, accuracy = self._ranks.add_up(self.supernet, [sum(f[i] for f in found) for i in (0, 1)])
        with torch_threads(self._threads):
            apply_gradients(self.supernet, self.optimiser, step, self.config)
        return StepReport(step + 1, self.config.steps, loss, accuracy)

    def _tasks(self, step: int, pieces: "Sequence[Piece]", shares: Sequence[Sequence[int]]) -> list[Task]:
        """All pieces as tasks, with the images of those that are done here."""
        spans = {pieces[number].span for share in shares for number in share}
        if not spans:  # other ranks have it all
            return []
        wanted = torch.cat([torch.arange(*span) for span in sorted(spans)])
        images, labels = (tensor.to(self._device) for tensor in self._batches.take(step, wanted))
        present = drop_views(self.supernet.space, self.config, len(labels), step)
        frames = Frames(images, labels, None if present is None else present.to(self._device))
        return [partial(piece.learn, frames, self.config) for piece in pieces]


@dataclass(frozen=True, slots=True)
class Piece:
    """Some images of a batch, and the sub-networks that they go through.

    Attributes:
        networks: the first learns from the labels, the others from what it says of the same images.
        span: first image and end.
        weight: of its losses among those of the step.
        reported: how much its loss and accuracy count in those of the step.
        cost: of running it, in any unit.
    """

    networks: tuple[Architecture, ...]
    span: tuple[int, int]
    weight: float
    reported: float
    cost: float

    def learn(self, frames: Frames, config: TrainConfig, supernet: Supernet) -> Result:
        """Add the gradients; loss and accuracy of the first network, as much as they count."""
        frames = frames.part(*self.span)
        labels = frames.labels
        first, *others = self.networks
        scores = _scores(supernet, frames, first, config.precision)
        loss = F.cross_entropy(scores, labels, label_smoothing=config.label_smoothing)
        (loss * self.weight).backward()  # type: ignore[no-untyped-call]
        answers = scores.detach().softmax(1)
        for other in others:
            loss_of_other = F.cross_entropy(_scores(supernet, frames, other, config.precision), answers)
            (loss_of_other * self.weight).backward()  # type: ignore[no-untyped-call]
        accuracy = float((scores.argmax(1) == labels).float().mean())
        return self.reported * float(loss.detach()), self.reported * accuracy


def _scores(supernet: Supernet, frames: Frames, architecture: Architecture, precision: Precision) -> Tensor:
    with computing_in(precision, frames.images.device):
        scores: Tensor = supernet(frames.images, architecture, present=frames.present)
    return scores.float()


def pieces_of(space: SearchSpace, sandwich: Sandwich, images: int, workers: int) -> list[Piece]:
    """How a step's work is cut for so many workers.

    With a teacher the batch is cut into parts, one a worker, through which all networks go; their batch norms see a
    part at a time. Without one, each network sees a share of its own, and the first one's loss is reported.
    """
    if sandwich.teacher is not None:
        networks = (sandwich.teacher, *sandwich.students)
        weights = [(span, (span[1] - span[0]) / images) for span in spans_of(images, parts_of(images, workers))]
        return [Piece(networks, span, weight, weight, weight) for span, weight in weights]
    count = len(sandwich.students)
    # Fewer than two images would leave a batch norm nothing to average.
    parts = count if images >= 2 * count else 1
    pairs = zip(sandwich.students, spans_of(images, parts) * (count // parts), strict=True)
    return [
        Piece((student,), span, 1.0, float(number == 0), _cost(space, student, span[1] - span[0]))
        for number, (student, span) in enumerate(pairs)
    ]


def _cost(space: SearchSpace, architecture: Architecture, images: int) -> float:
    network = describe(space, architecture)
    macs = network.macs("sensor") + network.macs("aggregator")
    return images * macs + UNIT_COST * (len(network.sensor) + len(network.aggregator))
