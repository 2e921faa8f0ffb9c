"""Batch norm, activation and residual as one operator with a gradient."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from splitkit.autograd.activation import activate
from splitkit.autograd.native import LANES, compiled, rows, storage_of, usable

FUSED_ACTIVATIONS = frozenset({"", "relu", "relu6", "hard_swish", "swish"})
"""Those that kernels compute."""


def normalise(
    x: Tensor, gain: Tensor, shift: Tensor, activation: str = "", residual: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    """activation(batch norm of x) + residual, normalised by the batch.

    Where kernels can do it (`native.usable`) memory is read and written half as often as by torch's own operators, and
    the gradient of `x` is written over `x`: it must be a fresh result, of a convolution for example, whose value
    nobody asks for afterwards.

    Args:
        x: float32 or bfloat16 (n, c, h, w); the result is the same.
        gain, shift: (c,).
        activation: as an operator names it; empty for none.
        residual: (n, c, h, w), or None.
        eps: added to the variance.
    """
    residual = None if residual is None else residual.to(x.dtype)
    wanted = (x,) if residual is None else (x, residual)
    if activation in FUSED_ACTIVATIONS and usable(*wanted):
        return _Normalised.apply(x, gain, shift, residual, activation, eps)  # type: ignore[no-any-return, no-untyped-call]
    y = activate(activation, F.batch_norm(x, None, None, gain, shift, training=True, eps=eps))
    return y if residual is None else y + residual


class _Normalised(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, gain: Tensor, shift: Tensor, residual: Tensor | None, activation: str, eps: float
    ) -> Tensor:
        from splitkit.autograd.norm_kernels import forward_kernel

        run = compiled(forward_kernel, activation, residual is not None, storage_of(x))
        y, blocks = torch.empty_like(x), x.shape[1] // LANES
        saved = gain.new_empty(4, blocks, LANES)
        added = rows(x if residual is None else residual)
        run(rows(x), gain.detach().view(-1, LANES), shift.detach().view(-1, LANES), eps, added, rows(y), saved)
        ctx.kept, ctx.activation, ctx.residual = (x.detach(), saved), activation, residual is not None
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        from splitkit.autograd.norm_kernels import backward_kernel

        if ctx.kept is None:
            raise RuntimeError("a second backward pass: the first one has used up what was kept for it")
        (x, saved), ctx.kept = ctx.kept, None
        run = compiled(backward_kernel, ctx.activation, storage_of(x))
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        slopes = saved.new_empty(2, *saved.shape[1:])
        run(rows(x), rows(gradient), saved, slopes)
        gain, shift = slopes.flatten(1)
        return x, gain, shift, gradient if ctx.residual else None, None, None
