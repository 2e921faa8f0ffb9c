"""Training a supernet: sandwich rule and in-place distillation, resumable at any step."""

import time
from pathlib import Path

import torch.nn.functional as F
from torch import Tensor

from splitkit.data import Dataset
from splitkit.space.search_space import SearchSpace
from splitkit.supernet import Supernet
from splitkit.training.checkpoint import restore_supernet, save_supernet
from splitkit.training.config import TrainConfig
from splitkit.training.interrupt import deferred_interrupt
from splitkit.training.optimise import (
    Batches,
    apply_gradients,
    diverged,
    first_not_finite,
    make_optimiser,
    pick_device,
)
from splitkit.training.progress import Reporter, StepReport
from splitkit.training.sandwich import Sandwich, SandwichSampler


def train(
    space: SearchSpace,
    data: Dataset,
    config: TrainConfig,
    checkpoint: Path,
    *,
    resume: bool = False,
    device: str = "auto",
    report: Reporter | None = None,
) -> Supernet:
    """Train the supernet of a space and leave it in `checkpoint`.

    Each step runs one batch through the largest sub-network, which learns from the labels, and through the smallest
    and some random ones, which learn the largest one's soft answers (in-place distillation, Yu & Huang, ICCV 2019,
    section 3.3); their gradients are added up. With `config.sandwich_every` > 1 the steps between train random ones
    only, from the labels. Splits, reduce ratios and link dtypes are part of what is drawn, and
    what the link does to the features is in the forward pass.

    The state is saved every `config.checkpoint_every_s` seconds, at the end and on Ctrl-C (which then raises
    KeyboardInterrupt). A resumed run gives bit for bit the weights of an uninterrupted one, at the same number of
    threads.

    Args:
        space: what to train; its `placements` bound the splits.
        data: its `train` samples are fitted, nothing else is looked at.
        config: schedule and seed. A resumed run must be given the one it began with.
        checkpoint: file to write, and to read with `resume`.
        resume: go on from `checkpoint` if it exists.
        device: `auto`, `cpu`, `cuda`, ...
        report: told of every step.

    Raises:
        CheckpointError: `checkpoint` is unreadable or damaged, or belongs to another space, configuration or data set.
        TrainingError: it diverged. `checkpoint` holds what it held before, which is sound.
    """
    target = pick_device(device)
    supernet = Supernet(space, config.seed).to(target)
    optimiser = make_optimiser(supernet, config)
    start = 0
    if resume and checkpoint.exists():
        start = restore_supernet(checkpoint, supernet, optimiser, config, data.classes).step
        if start == config.steps:
            return supernet
    batches = Batches(data.train, data.augmentation, config)
    sandwiches = SandwichSampler(space, config.random_subnetworks, config.seed, config.sandwich_every)

    def keep(steps: int) -> None:
        if (name := first_not_finite(supernet)) is not None:
            raise diverged(steps - 1, config, f"{name} is not finite")
        save_supernet(checkpoint, supernet, optimiser, config, data.classes, steps)

    saved_at = time.monotonic()
    with deferred_interrupt() as interruption:
        for step in range(start, config.steps):
            images, labels = (tensor.to(target) for tensor in batches[step])
            loss, accuracy = backward(supernet, sandwiches.draw(step), images, labels, config.label_smoothing)
            apply_gradients(supernet, optimiser, step, config)
            if report:
                report(StepReport(step + 1, config.steps, loss, accuracy))
            if interruption.asked or time.monotonic() - saved_at > config.checkpoint_every_s:
                keep(step + 1)
                saved_at = time.monotonic()
            if interruption.asked:
                raise KeyboardInterrupt
    keep(config.steps)
    return supernet


def backward(
    supernet: Supernet, sandwich: Sandwich, images: Tensor, labels: Tensor, label_smoothing: float = 0.0
) -> tuple[float, float]:
    """Add the gradients of one batch for all sub-networks of a sandwich; loss and accuracy of the first one."""
    first, *others = (*sandwich.students,) if sandwich.teacher is None else (sandwich.teacher, *sandwich.students)
    scores = supernet(images, first)
    loss = F.cross_entropy(scores, labels, label_smoothing=label_smoothing)
    loss.backward()  # type: ignore[no-untyped-call]
    answers = scores.detach().softmax(1)
    for student in others:
        scores = supernet(images, student)
        if sandwich.teacher is None:
            F.cross_entropy(scores, labels, label_smoothing=label_smoothing).backward()  # type: ignore[no-untyped-call]
        else:
            F.cross_entropy(scores, answers).backward()  # type: ignore[no-untyped-call]
    accuracy = (answers.argmax(1) == labels).float().mean()
    return float(loss.detach()), float(accuracy)
