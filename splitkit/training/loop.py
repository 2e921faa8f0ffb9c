"""Training a supernet: sandwich rule and in-place distillation, resumable at any step."""

import time
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from splitkit.data import Dataset
from splitkit.space.architecture import Architecture
from splitkit.space.network import describe
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
from splitkit.training.workers import Task, Workers, side_by_side


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
    only, from the labels, each on a batch of its own. Splits, reduce ratios and link dtypes are part of what is drawn,
    and what the link does to the features is in the forward pass.

    The state is saved every `config.checkpoint_every_s` seconds, at the end and on Ctrl-C (which then raises
    KeyboardInterrupt). A resumed run gives bit for bit the weights of an uninterrupted one: it uses as many threads as
    the run began with, which are torch's at that time.

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
    start, threads = 0, torch.get_num_threads()
    if resume and checkpoint.exists():
        header = restore_supernet(checkpoint, supernet, optimiser, config, data.classes)
        start, threads = header.step, header.threads
        if start == config.steps:
            return supernet
    # Between sandwiches every sub-network has images of its own: as much work, and the weights see more of them.
    shares = config.random_subnetworks if config.sandwich_every > 1 else 1
    batches = Batches(data.train, data.augmentation, config.seed, shares * config.batch)
    sandwiches = SandwichSampler(space, config.random_subnetworks, config.seed, config.sandwich_every)

    def keep(steps: int) -> None:
        if (name := first_not_finite(supernet)) is not None:
            raise diverged(steps - 1, config, f"{name} is not finite")
        save_supernet(checkpoint, supernet, optimiser, config, data.classes, steps, threads)

    saved_at = time.monotonic()
    most = config.random_subnetworks if target.type == "cpu" else 1
    with deferred_interrupt() as interruption, side_by_side(supernet, threads, most) as workers:
        for step in range(start, config.steps):
            sandwich = sandwiches.draw(step)
            wanted = slice(None if sandwich.teacher is None else config.batch)
            images, labels = (tensor[wanted].to(target) for tensor in batches[step])
            loss, accuracy = backward(workers, sandwich, images, labels, config.label_smoothing)
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


UNIT_COST = 4e6
"""What running a unit costs whatever its size, in multiply-accumulates of a training step."""


def backward(
    workers: Workers, sandwich: Sandwich, images: Tensor, labels: Tensor, label_smoothing: float = 0.0
) -> tuple[float, float]:
    """Add the gradients of one batch for all sub-networks of a sandwich; loss and accuracy of the first one.

    With a teacher all see the whole batch, else each sees a share of its own.
    """
    count = len(sandwich.students)
    if sandwich.teacher is not None:
        scores = workers.supernet(images, sandwich.teacher)
        shares, smoothing = [(images, scores.detach().softmax(1), labels)] * count, 0.0
    else:
        # Fewer than two images would leave a batch norm nothing to average.
        parts = count if len(labels) >= 2 * count else 1
        shares = list(zip(*(tensor.tensor_split(parts) for tensor in (images, labels, labels)), strict=True))
        shares, smoothing = shares * (count // parts), label_smoothing

    def teach(supernet: Supernet) -> tuple[float, float]:
        loss = F.cross_entropy(scores, labels, label_smoothing=label_smoothing)
        loss.backward()  # type: ignore[no-untyped-call]
        return float(loss.detach()), float((scores.argmax(1) == labels).float().mean())

    def learn(student: Architecture, share: tuple[Tensor, ...], supernet: Supernet) -> tuple[float, float]:
        seen, answers, right = share
        own_scores = supernet(seen, student)
        loss = F.cross_entropy(own_scores, answers, label_smoothing=smoothing)
        loss.backward()  # type: ignore[no-untyped-call]
        return float(loss.detach()), float((own_scores.argmax(1) == right).float().mean())

    pairs = list(zip(sandwich.students, shares, strict=True))
    tasks: list[Task[tuple[float, float]]] = [partial(learn, student, share) for student, share in pairs]
    costs = [_cost(workers.supernet.space, student, len(share[0])) for student, share in pairs]
    if sandwich.teacher is None:
        return workers.run(tasks, costs)[0]
    ahead = 2 / 3 * _cost(workers.supernet.space, sandwich.teacher, len(images))
    return workers.run([teach, *tasks], [ahead, *costs], own=0)[0]


def _cost(space: SearchSpace, architecture: Architecture, images: int) -> float:
    network = describe(space, architecture)
    macs = network.macs("sensor") + network.macs("aggregator")
    return images * macs + UNIT_COST * (len(network.sensor) + len(network.aggregator))
