"""What an optimiser keeps of past gradients: out of it, into a checkpoint, checked, and back."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from splitkit.errors import CheckpointError
from splitkit.supernet.storage import check_tensor
from splitkit.training.config import OptimiserConfig

MOMENTS = {"adamw": ("step", "exp_avg", "exp_avg_sq"), "sgd": ("momentum_buffer",), "muon": ("momentum_buffer",)}
"""What each optimiser keeps for a parameter that has had a gradient."""

Moments = dict[str, dict[str, Tensor]]
"""By the parameter's name, then the moment's."""


def moments_of(model: nn.Module, optimiser: torch.optim.Optimizer, config: OptimiserConfig) -> Moments:
    """Those of all parameters that have had a gradient."""
    names: dict[Tensor, str] = {parameter: name for name, parameter in model.named_parameters()}
    return {
        names[parameter]: {moment: kept[moment] for moment in MOMENTS[config.optimiser]}
        for parameter, kept in optimiser.state.items()
    }


def check_moments(path: Path, found: Any, model: nn.Module, config: OptimiserConfig, steps: int) -> None:
    """Refuse a checkpoint's moments that do not fit: an optimiser's kernels would write past the end of short ones.

    Args:
        path: named in errors.
        found: what the checkpoint holds.
        model: whose parameters they are of; it may be on the meta device.
        config: names the optimiser.
        steps: how many it has taken.

    Raises:
        CheckpointError: the first thing that does not fit, named.
    """
    if not isinstance(found, dict):
        raise CheckpointError(f"{path}: optimiser: a table is wanted, found {type(found).__name__}")
    parameters, moments = dict(model.named_parameters()), MOMENTS[config.optimiser]
    for name, kept in found.items():
        if name not in parameters:
            raise CheckpointError(f"{path}: optimiser: {str(name)[:60]!r} is no parameter of the network")
        where = f"{path}: optimiser: {name}"
        if not isinstance(kept, dict) or set(kept) != set(moments):
            raise CheckpointError(f"{where}: a table of {', '.join(moments)} is wanted")
        for moment, value in kept.items():
            wanted = torch.empty((), device="meta") if moment == "step" else parameters[name].detach()
            check_tensor(f"{where}: {moment}", value, wanted)
        if "step" in kept and not (1 <= float(kept["step"]) <= steps and float(kept["step"]).is_integer()):
            raise CheckpointError(f"{where}: step: {float(kept['step']):g}, a whole number in 1..{steps} is wanted")
        if "exp_avg_sq" in kept and bool((kept["exp_avg_sq"] < 0).any()):
            raise CheckpointError(f"{where}: exp_avg_sq: holds negative values, a mean of squares is wanted")


def restore_moments(
    model: nn.Module, optimiser: torch.optim.Optimizer, moments: Mapping[str, Mapping[str, Tensor]]
) -> None:
    """Give checked moments to an optimiser of the model's parameters."""
    parameters = dict(model.named_parameters())
    for name, kept in moments.items():
        parameter = parameters[name]
        optimiser.state[parameter] = {moment: _like(parameter, value) for moment, value in kept.items()}


def _like(parameter: Tensor, value: Tensor) -> Tensor:
    """A moment on its parameter's device and, since kernels walk both in step, in its memory layout."""
    if value.shape != parameter.shape:  # a step count
        return value.to(parameter.device)
    return torch.empty_like(parameter, requires_grad=False).copy_(value)
