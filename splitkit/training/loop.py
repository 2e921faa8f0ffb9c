"""Training a supernet: sandwich rule and in-place distillation, resumable at any step."""

import time
from collections.abc import Callable
from pathlib import Path

import torch

from splitkit.data import Dataset
from splitkit.space.search_space import SearchSpace
from splitkit.supernet import Supernet
from splitkit.training.checkpoint import restore_supernet, save_supernet
from splitkit.training.config import TrainConfig
from splitkit.training.interrupt import deferred_interrupt
from splitkit.training.optimise import diverged, first_not_finite, pick_device
from splitkit.training.progress import Reporter
from splitkit.training.step import Steps


def train(
    space: SearchSpace,
    data: Dataset,
    config: TrainConfig,
    checkpoint: Path,
    *,
    resume: bool = False,
    device: str = "auto",
    report: Reporter | None = None,
    prepare: Callable[[Supernet], object] = lambda supernet: None,
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
        prepare: given the fresh supernet, which it may fill with other weights; not called when one is resumed.

    Raises:
        CheckpointError: `checkpoint` is unreadable or damaged, or belongs to another space, configuration or data set.
        TrainingError: it diverged. `checkpoint` holds what it held before, which is sound.
    """
    supernet = Supernet(space, config.seed, config.sides).to(pick_device(device))
    steps = Steps(supernet, data, config)
    start, threads = 0, torch.get_num_threads()
    if not (resume and checkpoint.exists()):
        prepare(supernet)
    else:
        header = restore_supernet(checkpoint, supernet, steps.optimiser, config, data.classes)
        start, threads = header.step, header.threads
        if start == config.steps:
            return supernet

    def keep(step: int) -> None:
        if (name := first_not_finite(supernet)) is not None:
            raise diverged(step - 1, config, f"{name} is not finite")
        save_supernet(checkpoint, supernet, steps.optimiser, config, data.classes, step, threads)

    saved_at = time.monotonic()
    with deferred_interrupt() as interruption, steps.workers(threads) as workers:
        for step in range(start, config.steps):
            state = steps.take(step, workers)
            if report:
                report(state)
            if interruption.asked or time.monotonic() - saved_at > config.checkpoint_every_s:
                keep(step + 1)
                saved_at = time.monotonic()
            if interruption.asked:
                raise KeyboardInterrupt
    keep(config.steps)
    return supernet
