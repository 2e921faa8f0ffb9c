"""Training a supernet: sandwich rule and in-place distillation, resumable at any step."""

import time
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from splitkit.data import Dataset
from splitkit.errors import CheckpointError
from splitkit.space.search_space import SearchSpace
from splitkit.supernet import Supernet
from splitkit.supernet.storage import read_checkpoint, write_checkpoint
from splitkit.training.config import TrainConfig
from splitkit.training.interrupt import deferred_interrupt
from splitkit.training.optimise import Batches, apply_gradients, make_optimiser, pick_device
from splitkit.training.progress import Reporter, StepReport
from splitkit.training.sandwich import Sandwich, SandwichSampler

FORMAT = "splitkit supernet"


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
        CheckpointError: `checkpoint` is unreadable or belongs to another space or configuration.
    """
    target = pick_device(device)
    supernet = Supernet(space, config.seed).to(target)
    optimiser = make_optimiser(supernet, config)
    start = 0
    if resume and checkpoint.exists():
        start = _restore(checkpoint, supernet, optimiser, config, target)
        if start == config.steps:
            return supernet
    batches = Batches(data.train, data.augmentation, config)
    sandwiches = SandwichSampler(space, config.random_subnetworks, config.seed, config.sandwich_every)
    saved_at = time.monotonic()
    with deferred_interrupt() as interruption:
        for step in range(start, config.steps):
            images, labels = (tensor.to(target) for tensor in batches[step])
            loss, accuracy = backward(supernet, sandwiches.draw(step), images, labels, config.label_smoothing)
            apply_gradients(supernet, optimiser, step, config)
            if report:
                report(StepReport(step + 1, config.steps, loss, accuracy))
            if interruption.asked or time.monotonic() - saved_at > config.checkpoint_every_s:
                _save(checkpoint, supernet, optimiser, config, step + 1)
                saved_at = time.monotonic()
            if interruption.asked:
                raise KeyboardInterrupt
    _save(checkpoint, supernet, optimiser, config, config.steps)
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


@dataclass(frozen=True, slots=True)
class TrainedSupernet:
    """A supernet out of a checkpoint, with how it was trained. `step` is short of `config.steps` if interrupted."""

    supernet: Supernet
    config: TrainConfig
    step: int


def load_supernet(checkpoint: Path, space: SearchSpace | None = None, device: str = "cpu") -> TrainedSupernet:
    """The supernet in a checkpoint of `train`.

    Raises:
        CheckpointError: the file is missing, truncated or foreign, or holds the supernet of another space than `space`.
    """
    body = read_checkpoint(checkpoint, FORMAT)
    try:
        stored = SearchSpace.model_validate(body["space"])
        if space is not None:
            _check_space(checkpoint, stored, space)
        supernet = Supernet(stored)
        supernet.load_state_dict(body["weights"])
        trained = TrainedSupernet(supernet, TrainConfig.model_validate(body["config"]), int(body["step"]))
    except (KeyError, ValueError, TypeError, RuntimeError, AttributeError) as error:
        raise CheckpointError(f"{checkpoint}: not a complete supernet: {_first_line(error)}") from error
    supernet.to(pick_device(device))
    return trained


def _save(path: Path, supernet: Supernet, optimiser: torch.optim.Optimizer, config: TrainConfig, step: int) -> None:
    body = {
        "space": supernet.space.model_dump(mode="json"),
        "config": config.model_dump(mode="json"),
        "step": step,
        "weights": supernet.state_dict(),
        "optimiser": optimiser.state_dict(),
    }
    write_checkpoint(path, FORMAT, body)


def _restore(
    path: Path, supernet: Supernet, optimiser: torch.optim.Optimizer, config: TrainConfig, device: torch.device
) -> int:
    """Fill both from a checkpoint; the number of steps it has behind it."""
    body = read_checkpoint(path, FORMAT, str(device))
    try:
        _check_space(path, SearchSpace.model_validate(body["space"]), supernet.space)
        stored = TrainConfig.model_validate(body["config"])
        same = {"checkpoint_every_s": config.checkpoint_every_s}
        if stored.model_copy(update=same) != config:
            changed = [name for name in type(config).model_fields if getattr(stored, name) != getattr(config, name)]
            first = next(name for name in changed if name not in same)
            raise CheckpointError(
                f"{path}: trained with {first} = {getattr(stored, first)}, now {getattr(config, first)}",
                "resume with the same settings, or start afresh",
            )
        supernet.load_state_dict(body["weights"])
        optimiser.load_state_dict(body["optimiser"])
        return int(body["step"])
    except (KeyError, ValueError, TypeError, RuntimeError) as error:
        raise CheckpointError(f"{path}: not a complete supernet: {_first_line(error)}") from error


def _check_space(path: Path, stored: SearchSpace, wanted: SearchSpace) -> None:
    # Placements bound what is searched; the weights behind them may be there all the same.
    everywhere = wanted.model_copy(update={"placements": stored.placements})
    if stored != everywhere or not set(wanted.placements) <= set(stored.placements):
        raise CheckpointError(
            f"{path}: holds the supernet of another space: {stored.name!r} then, {wanted.name!r} now, other choices",
            "train again, or use the space it was trained with",
        )


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
