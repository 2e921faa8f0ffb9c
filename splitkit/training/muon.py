"""Momentum whose updates are made orthogonal."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

ITERATIONS = 5


class Muon(torch.optim.Optimizer):
    """Muon (Jordan et al., 2024) for the weights of convolutions that batch norms follow.

    The Nesterov momentum of a weight, as a matrix (outputs, everything else), is replaced by the nearest matrix whose
    singular values are all about one, so that no direction learns faster than another. A batch norm takes the weight's
    scale out again, so it is held where it began, and the learning rate is the share of it that one step moves.
    What is no matrix takes plain steps with the same momentum.
    """

    def __init__(self, matrices: Sequence[nn.Parameter], others: Sequence[nn.Parameter], lr: float) -> None:
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
            updates = tuple(_orthogonalised(updates))
            norms = torch.stack(torch._foreach_norm(moved))
            sizes = torch.stack(torch._foreach_norm(updates))
            torch._foreach_mul_(updates, (-group["lr"] * norms / (sizes + 1e-12)).tolist())
            torch._foreach_add_(moved, updates)
            torch._foreach_mul_(moved, (norms / (torch.stack(torch._foreach_norm(moved)) + 1e-12)).tolist())


def _orthogonalised(weights: Sequence[Tensor]) -> list[Tensor]:
    """`orthogonal` of each as a matrix (outputs, everything else); those of one shape together, or most of the time
    would go into calling torch."""
    alike: dict[tuple[int, ...], list[int]] = {}
    for i, weight in enumerate(weights):
        alike.setdefault(tuple(weight.shape), []).append(i)
    found = list(weights)
    for numbers in alike.values():
        for i, matrix in zip(numbers, orthogonal(torch.stack([weights[i].flatten(1) for i in numbers])), strict=True):
            found[i] = matrix.view_as(weights[i])
    return found


def step_macs(optimiser: torch.optim.Optimizer) -> float:
    """Multiply-accumulates of a step's matrix products, if all weights have gradients; 0 of what is not Muon."""
    weights = [p for group in optimiser.param_groups if group.get("orthogonal") for p in group["params"]]
    sides = [sorted((len(p), p.numel() // len(p))) for p in weights]
    return float(sum(ITERATIONS * (2 * short**2 * long + short**3) for short, long in sides))


def orthogonal(matrices: Tensor, steps: int = ITERATIONS) -> Tensor:
    """About the orthogonal factors of matrices' polar decompositions: quintic Newton-Schulz iterations.

    Args:
        matrices: (..., rows, columns).
    """
    tall = matrices.shape[-2] > matrices.shape[-1]
    x: Tensor = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        square = x @ x.mT
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return x.mT if tall else x
