"""A second, short training of one extracted sub-network."""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from splitkit.data import Augmentation, SampleSource, batches_of
from splitkit.space.network import describe
from splitkit.supernet import SubNetwork, Supernet, calibrate, evaluation_batch
from splitkit.training.config import FineTuneConfig, OptimiserConfig
from splitkit.training.frames import Frames, spans_of
from splitkit.training.optimise import Batches, apply_gradients, diverged, first_not_finite, make_optimiser
from splitkit.training.precision import computing_in
from splitkit.training.progress import Reporter, StepReport
from splitkit.training.threads import threads_for, torch_threads
from splitkit.training.view_dropout import drop_views
from splitkit.training.workers import parts_of, side_by_side

RECALIBRATION_IMAGES = 50_000
"""Batch norms settle long before."""

Teacher = Callable[[Tensor], Tensor]
"""uint8 images (n, views, channels, size, size) -> scores (n, classes)."""


class FineTuning:
    """The fine-tuning of one sub-network, some steps at a time: the steps of one go and of many are the same.

    It trains a sub-network's own weights, in place, with the link's precision in the forward pass. The link's scale
    and zero point stay as calibrated; what falls outside their range learns to come back.

    Attributes:
        subnetwork: in evaluation mode, fit to be scored or exported, whenever `advance` has returned.
        optimiser: whose state goes with it.
        step: steps that are behind it, of `config.steps`.
        parts: that a batch is cut into, from the first step on; sums of floats depend on that.
    """

    def __init__(
        self,
        subnetwork: SubNetwork,
        samples: SampleSource,
        augmentation: Augmentation,
        config: OptimiserConfig,
        teacher: Teacher | None = None,
    ) -> None:
        """Arguments and errors as of `fine_tune`."""
        if subnetwork.folded:
            raise ValueError("fine-tune before folding the batch norms")
        self.subnetwork = subnetwork.eval()
        self.config = config
        self.step = 0
        self.parts: int | None = None
        self._samples = samples
        self._distillation = config.distillation if isinstance(config, FineTuneConfig) else 0.5
        self._teacher = teacher if self._distillation else None
        self._batches = Batches(samples, augmentation, config.seed, config.batch)
        self.optimiser = make_optimiser(subnetwork, config)

    def advance(self, steps: int, report: Reporter | None = None, *, recalibrated: bool = True) -> None:
        """Train `steps` more steps of the schedule, or as many as it has left.

        Batch norms are then recalibrated on the images as they are, since those that are deployed are not augmented;
        that changes nothing about the steps to come.

        Raises:
            TrainingError: it diverged.
        """
        end = min(self.step + steps, self.config.steps)
        if end == self.step:
            return
        self.subnetwork.train()
        network = describe(self.subnetwork.space, self.subnetwork.architecture)
        threads = threads_for(self.config.batch * (network.macs("sensor") + network.macs("aggregator")))
        with torch_threads(threads):
            try:
                self._train(end, threads, report)
            finally:
                self._batches.close()
            if recalibrated:
                recalibrate(self.subnetwork, self._samples)
        if (name := first_not_finite(self.subnetwork)) is not None:
            raise diverged(end - 1, self.config, f"{name} is not finite")
        self.subnetwork.eval()

    def _train(self, end: int, threads: int, report: Reporter | None) -> None:
        device = next(self.subnetwork.parameters()).device
        if self.parts is None:
            self.parts = parts_of(self.config.batch, threads) if device.type == "cpu" else 1
        parts = self.parts
        with side_by_side(self.subnetwork, threads, parts) as workers:
            for step in range(self.step, end):
                images, labels = (tensor.to(device) for tensor in self._batches[step])
                present = drop_views(self.subnetwork.space, self.config, len(labels), step)
                frames = Frames(images, labels, None if present is None else present.to(device))
                shares = [frames.part(*span) for span in spans_of(len(labels), parts)]
                weights = [len(share.labels) / len(labels) for share in shares]
                tasks = [partial(self._learn, *pair) for pair in zip(shares, weights, strict=True)]
                found = workers.run(tasks, weights)
                apply_gradients(self.subnetwork, self.optimiser, step, self.config)
                self.step = step + 1
                if report:
                    loss, accuracy = (sum(w * f[i] for w, f in zip(weights, found, strict=True)) for i in (0, 1))
                    report(StepReport(self.step, self.config.steps, loss, accuracy))

    def _learn(self, share: Frames, weight: float, subnetwork: SubNetwork) -> tuple[float, float]:
        images, labels = share.images, share.labels
        with computing_in(self.config.precision, images.device):
            scores = subnetwork(images, share.present).float()
        loss = F.cross_entropy(scores, labels, label_smoothing=self.config.label_smoothing)
        if self._teacher is not None:
            with torch.no_grad(), computing_in(self.config.precision, images.device):
                answers = self._teacher(images).float().softmax(1)
            loss = torch.lerp(loss, F.cross_entropy(scores, answers), self._distillation)
        (loss * weight).backward()  # type: ignore[no-untyped-call]
        return float(loss.detach()), float((scores.argmax(1) == labels).float().mean())


def largest_network(supernet: Supernet, calibration: Tensor) -> Teacher:
    """The largest network of a supernet, all on the aggregator where there is such a thing, as a teacher.

    Args:
        calibration: uint8 training images (n, views, channels, size, size) for its statistics.
    """
    largest = supernet.space.largest(0 if "aggregator" in supernet.space.placements else supernet.space.max_units)
    if largest.placement not in supernet.space.placements:
        largest = supernet.space.largest(1)
    found = calibrate(supernet, largest, calibration)
    return lambda images: supernet(images, largest, found)


def fine_tune(
    subnetwork: SubNetwork,
    samples: SampleSource,
    augmentation: Augmentation,
    config: OptimiserConfig,
    *,
    teacher: Teacher | None = None,
    report: Reporter | None = None,
) -> SubNetwork:
    """Train a sub-network's own weights, in place, from the schedule's beginning to its end; see `FineTuning`.

    Args:
        subnetwork: extracted, batch norms not folded.
        samples: training images and labels, on any device.
        augmentation: how the images are varied.
        config: schedule and seed.
        teacher: if given, `distillation` of the loss (half of it, where `config` does not say) is the cross entropy
            against its answers (Hinton et al., 2015).
        report: told of every step.

    Returns:
        The same object, in evaluation mode.

    Raises:
        ValueError: batch norms are folded already.
        TrainingError: it diverged.
    """
    FineTuning(subnetwork, samples, augmentation, config, teacher).advance(config.steps, report)
    return subnetwork


@torch.no_grad()
def recalibrate(subnetwork: SubNetwork, samples: SampleSource) -> None:
    """Replace the running statistics of all batch norms by those of up to `RECALIBRATION_IMAGES` samples."""
    norms = [module for module in subnetwork.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    training, device = subnetwork.training, next(subnetwork.parameters()).device
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # cumulative average over the batches below
    subnetwork.train()
    if len(samples) > RECALIBRATION_IMAGES:
        order = torch.randperm(len(samples), generator=torch.Generator().manual_seed(0))
        samples = samples.part(order[:RECALIBRATION_IMAGES])
    batch = evaluation_batch(samples.take(torch.arange(1)).images)
    # All batches are to weigh the same: a smaller last one is left out.
    whole = max(len(samples) - len(samples) % batch, min(len(samples), batch))
    for part in batches_of(samples.part(torch.arange(whole)), batch):
        subnetwork(part.images.to(device))
    subnetwork.train(training)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
