"""Momentum whose updates are made orthogonal."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from splitkit.training.config import Precision

ITERATIONS = 5

ROUNDED_MACS = 1e8
"""Multiply-accumulates, of the weights of one shape, from which products of bfloat16 are the faster ones; smaller
products wait for the calls."""


class Muon(torch.optim.Optimizer):
    """Muon (Jordan et al., 2024) for the weights of convolutions that batch norms follow.

    The Nesterov momentum of a weight, as a matrix (outputs, everything else), is replaced by the nearest matrix whose
    singular values are all about one, so that no direction learns faster than another. A batch norm takes the weight's
    scale out again, so it is held where it began, and the learning rate is the share of it that one step moves.
    What is no matrix takes plain steps with the same momentum. In `bfloat16` the large ones among the iterations'
    products are of that (as Jordan et al. have it): the singular values of an update are about one either way.
    """

    def __init__(
        self,
        matrices: Sequence[nn.Parameter],
        others: Sequence[nn.Parameter],
        lr: float,
        precision: Precision = "float32",
    ) -> None:
        self.precision = precision
        groups = [{"params": matrices, "orthogonal": True}, {"params": others, "orthogonal": False}]
        super().__init__(groups, {"lr": lr, "momentum": 0.9})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """One step; `closure` is not called."""
        for group in self.param_groups:
            moved = [p for p in group["params"] if p.grad is not None]
            if not moved:
                continue
            gradients = [p.grad for p in moved]
            for p in moved:
                if not self.state[p]:
                    self.state[p]["momentum_buffer"] = torch.zeros_like(p)
            momenta = [self.state[p]["momentum_buffer"] for p in moved]
            torch._foreach_mul_(momenta, group["momentum"])
            torch._foreach_add_(momenta, gradients)
            updates = torch._foreach_add(gradients, momenta, alpha=group["momentum"])
            if not group["orthogonal"]:
                torch._foreach_add_(moved, updates, alpha=-group["lr"])
                continue
            updates = tuple(_orthogonalised(updates, self.precision))
            norms = torch.stack(torch._foreach_norm(moved))
            sizes = torch.stack(torch._foreach_norm(updates))
            torch._foreach_mul_(updates, (-group["lr"] * norms / (sizes + 1e-12)).tolist())
            torch._foreach_add_(moved, updates)
            torch._foreach_mul_(moved, (norms / (torch.stack(torch._foreach_norm(moved)) + 1e-12)).tolist())


def _orthogonalised(weights: Sequence[Tensor], precision: Precision) -> list[Tensor]:
    """`orthogonal` of each as a matrix (outputs, everything else); those of one shape together, or most of the time
    would go into calling torch."""
    alike: dict[tuple[int, ...], list[int]] = {}
    for i, weight in enumerate(weights):
        alike.setdefault(tuple(weight.shape), []).append(i)
    found = list(weights)
    for numbers in alike.values():
        matrices = torch.stack([weights[i].flatten(1) for i in numbers])
        rounded = precision == "bfloat16" and len(numbers) * _macs(weights[numbers[0]]) >= ROUNDED_MACS
        computed = orthogonal(matrices.bfloat16() if rounded else matrices).float()
        for i, matrix in zip(numbers, computed, strict=True):
            found[i] = matrix.view_as(weights[i])
    return found


def step_macs(optimiser: torch.optim.Optimizer) -> float:
    """Multiply-accumulates of a step's matrix products, if all weights have gradients; 0 of what is not Muon."""
    weights = [p for group in optimiser.param_groups if group.get("orthogonal") for p in group["params"]]
    return sum(_macs(p) for p in weights)


def _macs(weight: Tensor) -> float:
    short, long = sorted((len(weight), weight.numel() // len(weight)))
    return ITERATIONS * (2.0 * short**2 * long + short**3)


def orthogonal(matrices: Tensor, steps: int = ITERATIONS) -> Tensor:
    """About the orthogonal factors of matrices' polar decompositions: quintic Newton-Schulz iterations.

    Args:
        matrices: (count, rows, columns), in the precision that is computed in.
    """
    tall = matrices.shape[-2] > matrices.shape[-1]
    x: Tensor = (matrices.mT if tall else matrices).contiguous()
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        square = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=-4.7750, alpha=2.0315), x, beta=3.4445)
    return x.mT if tall else x
