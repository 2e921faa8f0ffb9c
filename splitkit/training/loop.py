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
from splitkit.training.ranks import Alone, RankLostError, Ranks, weights_digest
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
    ranks: Ranks | None = None,
    say: Callable[[str], None] | None = None,
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
        ranks: those that train together (`joined`); by default this process does alone. Each of them is to call this;
            two with one thread each do what one with two threads does, but for rounding. The first one writes the
            checkpoint; if another one is lost, it keeps what was done until then.
        say: told if the number of ranks is not that of before.
        prepare: given the fresh supernet, which it may fill with other weights; not called when one is resumed.

    Raises:
        ConfigError: ranks differ in data, schedule or checkpoint, or are more than there is work for.
        CheckpointError: `checkpoint` is unreadable or damaged, or belongs to another space, configuration or data set.
        TrainingError: it diverged: `checkpoint` holds what it held before, which is sound. Or a rank was lost.
    """
    ranks = ranks or Alone()
    supernet = Supernet(space, config.seed, config.sides).to(pick_device(ranks.device(device)))
    steps = Steps(supernet, data, config, ranks)
    start, threads = 0, ranks.from_first(torch.get_num_threads())
    if not (resume and checkpoint.exists()):
        prepare(supernet)
    else:
        header = restore_supernet(checkpoint, supernet, steps.optimiser, config, data.classes)
        start = header.step
        if header.ranks == ranks.size:
            threads = header.threads
        elif say:
            say(f"trained by {header.ranks} ranks so far, by {ranks.size} from here on: no longer the same bit for bit")
    ranks.agree(_facts(supernet, data, config, start))
    if start == config.steps and start:
        return supernet

    def keep(step: int) -> None:
        if ranks.rank > 0:
            return
        if (name := first_not_finite(supernet)) is not None:
            raise diverged(step - 1, config, f"{name} is not finite")
        save_supernet(checkpoint, supernet, steps.optimiser, config, data.classes, step, threads, ranks.size)

    saved_at = time.monotonic()
    with deferred_interrupt() as interruption, steps.workers(threads) as workers:
        ranks.listen(interruption)
        for step in range(start, config.steps):
            try:
                state = steps.take(step, workers)
            except RankLostError:
                keep(step)
                raise
            if report:
                report(state)
            if ranks.asked or time.monotonic() - saved_at > config.checkpoint_every_s:
                keep(step + 1)
                saved_at = time.monotonic()
            if ranks.asked:
                ranks.wait()  # whoever ends first has torchrun end the others
                raise KeyboardInterrupt
    keep(config.steps)
    ranks.wait()
    return supernet


def _facts(supernet: Supernet, data: Dataset, config: TrainConfig, step: int) -> dict[str, bytes]:
    """What ranks must have in common."""
    return {
        "space": supernet.space.model_dump_json().encode(),
        "schedule": config.model_dump_json().encode(),
        "data": repr((data.classes, len(data.train), int(data.train.labels.sum()))).encode(),
        "checkpoint": repr((step, weights_digest(supernet))).encode(),
    }
