"""Momentum whose updates are made orthogonal."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn


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
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["momentum_buffer"] = torch.zeros_like(p)
                momentum = state["momentum_buffer"].mul_(group["momentum"]).add_(p.grad)
                update = p.grad.add(momentum, alpha=group["momentum"])
                if not group["orthogonal"]:
                    p.sub_(update, alpha=group["lr"])
                    continue
                update, norm = orthogonal(update.flatten(1)).view_as(p), p.norm()
                p.sub_(update, alpha=float(group["lr"] * norm / (update.norm() + 1e-12)))
                p.mul_(norm / p.norm())


def orthogonal(matrix: Tensor, steps: int = 5) -> Tensor:
    """About the orthogonal factor of a matrix's polar decomposition: quintic Newton-Schulz iterations."""
    tall = matrix.shape[0] > matrix.shape[1]
    x: Tensor = matrix.mT if tall else matrix
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        square = x @ x.mT
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return x.mT if tall else x
