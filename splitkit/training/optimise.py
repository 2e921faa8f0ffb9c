"""The optimiser, its schedule, and the order of the data: everything a step needs that does not depend on the network.

Nothing here keeps a random state. What is random is a function of the seed and the step, so that training goes on
after an interruption exactly as it would have gone on without one.
"""

import math

import torch
from torch import Tensor, nn

from splitkit.data import Augmentation, SampleSource
from splitkit.data.ahead import AHEAD, ReadAhead
from splitkit.errors import TrainingError
from splitkit.supernet.supernet import UNNORMED
from splitkit.training.chance import AUGMENTATION, ORDER, generator_for
from splitkit.training.config import OptimiserConfig
from splitkit.training.muon import Muon


def make_optimiser(model: nn.Module, config: OptimiserConfig) -> torch.optim.Optimizer:
    """AdamW, SGD with Nesterov momentum, or Muon; biases, batch norms and kernel transforms are not decayed.

    AdamW's mean of squares goes over a twentieth of a short schedule: over the usual 1,000 steps it would still be
    following the first gradients at the end. Muon decays nothing, and is for convolutions that a batch norm follows:
    what else there is takes plain steps of the same momentum.
    """
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    if config.optimiser == "muon":
        normed = {id(p) for name, p in named if p.ndim == 4 and UNNORMED.isdisjoint(name.split("."))}
        matrices = [p for _, p in named if id(p) in normed]
        others = [p for _, p in named if id(p) not in normed]
        return Muon(matrices, others, config.learning_rate, config.precision)
    decayed = [p for name, p in named if p.ndim > 1 and "transforms" not in name]
    free = [p for name, p in named if p.ndim <= 1 or "transforms" in name]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": free, "weight_decay": 0.0}]
    if config.optimiser == "sgd":
        return torch.optim.SGD(groups, lr=config.learning_rate, momentum=0.9, nesterov=True)
    memory = min(1000, max(50, config.steps / 20))
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 1 - 1 / memory), fused=True)


def learning_rate_at(step: int, config: OptimiserConfig) -> float:
    """Learning rate of a step counted from 0."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    progress = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))


def apply_gradients(model: nn.Module, optimiser: torch.optim.Optimizer, step: int, config: OptimiserConfig) -> None:
    """Clip the gradients' norm, take one optimiser step at the schedule's rate and clear them.

    Raises:
        TrainingError: a gradient is not finite; the weights are left as they were.
    """
    for group in optimiser.param_groups:
        group["lr"] = learning_rate_at(step, config)
    # One NaN or infinity among the losses or the gradients of all sub-networks shows in this sum.
    norm = float(nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm))
    if not math.isfinite(norm):
        raise diverged(step, config, "its gradient is not finite")
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)


def diverged(step: int, config: OptimiserConfig, reason: str) -> TrainingError:
    """What to say when training has come to nothing at a step counted from 0."""
    return TrainingError(
        f"training diverged at step {step + 1} of {config.steps}: {reason}",
        f"lower learning_rate, {config.learning_rate:g} now, or raise batch, {config.batch} now",
    )


def first_not_finite(model: nn.Module) -> str | None:
    """The first weight or statistic by name that holds NaN or infinity, if any does."""
    return next((name for name, value in model.state_dict().items() if not bool(torch.isfinite(value).all())), None)


class Batches:
    """Augmented batches by step number; every epoch sees each sample at most once, in an order of its own.

    Images that are in files are decoded while the batch before is worked on; `close` ends that.
    """

    def __init__(
        self, samples: SampleSource, augmentation: Augmentation, seed: int, images: int, *, shared: bool = False
    ) -> None:
        """`images` a batch, or all of them where there are fewer; `shared` with others: only some are wanted here."""
        self.samples = samples
        self._ahead = ReadAhead(samples, self._indices, ahead=0 if shared else AHEAD)
        self._shared = shared
        self.augmentation = augmentation
        self.batch = min(images, len(samples))
        self.seed = seed
        self._epoch = -1
        self._order = torch.empty(0, dtype=torch.int64)

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        """Images uint8 (batch, views, channels, size, size) and labels int64 (batch,)."""
        return self.take(step, torch.arange(self.batch))

    def take(self, step: int, wanted: Tensor) -> tuple[Tensor, Tensor]:
        """The same, but only at the positions `wanted`, int64 (n,), n >= 1; the other images are not read.

        Whoever wants what of a batch, each image is varied in the same way.
        """
        samples = self.samples.take(self._indices(step)[wanted]) if self._shared else self._ahead[step].take(wanted)
        images = samples.images.new_zeros((self.batch, *samples.images.shape[1:])).index_copy_(
            0, wanted.to(samples.images.device), samples.images
        )
        labels = samples.labels.new_zeros(self.batch).index_copy_(0, wanted.to(samples.labels.device), samples.labels)
        return self.augmentation(images, generator_for(self.seed, AUGMENTATION, step)), labels

    def close(self) -> None:
        """Give up what was read ahead."""
        self._ahead.close()

    def _indices(self, step: int) -> Tensor:
        epoch, within = divmod(step, len(self.samples) // self.batch)
        if epoch != self._epoch:
            generator = generator_for(self.seed, ORDER, epoch)
            self._epoch, self._order = epoch, torch.randperm(len(self.samples), generator=generator)
        return self._order[within * self.batch : (within + 1) * self.batch]


def pick_device(device: str) -> torch.device:
    """`auto` is the first CUDA device if there is one, else the CPU."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(device)
