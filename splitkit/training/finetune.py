"""A second, short training of one extracted sub-network."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from splitkit.data import Augmentation, SampleSource, batches_of
from splitkit.supernet import SubNetwork, evaluation_batch
from splitkit.training.config import OptimiserConfig
from splitkit.training.optimise import Batches, apply_gradients, make_optimiser
from splitkit.training.progress import Reporter, StepReport

RECALIBRATION_IMAGES = 50_000
"""Batch norms settle long before."""

Teacher = Callable[[Tensor], Tensor]
"""uint8 images (n, views, channels, size, size) -> scores (n, classes)."""


def fine_tune(
    subnetwork: SubNetwork,
    samples: SampleSource,
    augmentation: Augmentation,
    config: OptimiserConfig,
    *,
    teacher: Teacher | None = None,
    report: Reporter | None = None,
) -> SubNetwork:
    """Train a sub-network's own weights, in place, with the link's precision in the forward pass.

    The link's scale and zero point stay as calibrated; what falls outside their range learns to come back. Batch
    norms are recalibrated at the end on the images as they are, since those that are deployed are not augmented.

    Args:
        subnetwork: extracted, batch norms not folded.
        samples: training images and labels, on any device.
        augmentation: how the images are varied.
        config: schedule and seed.
        teacher: if given, half the loss is the cross entropy against its answers (Hinton et al., 2015).
        report: told of every step.

    Returns:
        The same object, in evaluation mode.

    Raises:
        ValueError: batch norms are folded already.
    """
    if subnetwork.folded:
        raise ValueError("fine-tune before folding the batch norms")
    device = next(subnetwork.parameters()).device
    subnetwork.train()
    optimiser = make_optimiser(subnetwork, config)
    batches = Batches(samples, augmentation, config)
    for step in range(config.steps):
        images, labels = (tensor.to(device) for tensor in batches[step])
        scores = subnetwork(images)
        loss = F.cross_entropy(scores, labels, label_smoothing=config.label_smoothing)
        if teacher is not None:
            with torch.no_grad():
                answers = teacher(images).softmax(1)
            loss = 0.5 * loss + 0.5 * F.cross_entropy(scores, answers)
        loss.backward()  # type: ignore[no-untyped-call]
        apply_gradients(subnetwork, optimiser, step, config)
        if report:
            accuracy = float((scores.argmax(1) == labels).float().mean())
            report(StepReport(step + 1, config.steps, float(loss.detach()), accuracy))
    if config.steps:
        recalibrate(subnetwork, samples)
    return subnetwork.eval()


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
