"""Depthwise convolution with a gradient."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from splitkit.autograd.native import LANES, compiled, pixels, storage_of, usable


def depthwise(x: Tensor, weight: Tensor, stride: int = 1) -> Tensor:
    """Depthwise convolution, padded by half the window; by kernels where they can (`native.usable`), else by torch.

    Args:
        x: float32 or bfloat16 (n, c, h, w); so is the result, and sums are float32.
        weight: float32 (c, 1, k, k), k odd.
        stride: in both directions.

    Returns:
        (n, c, ceil(h / stride), ceil(w / stride)).
    """
    if usable(x):
        return _Depthwise.apply(x, weight, stride)  # type: ignore[no-any-return, no-untyped-call]
    return F.conv2d(x, weight.to(x.dtype), None, stride, weight.shape[2] // 2, groups=len(weight))


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int) -> Tensor:
        from splitkit.autograd.depthwise_kernels import window_kernel

        ctx.save_for_backward(x, weight)
        ctx.stride = stride
        n, c, h, w = x.shape
        y = torch.empty((n, c, -(-h // stride), -(-w // stride)), dtype=x.dtype, memory_format=torch.channels_last)
        kernel = weight.shape[2]
        run = compiled(window_kernel, kernel, stride, 1, storage_of(x))
        run(pixels(x), _window(weight), pixels(y), _plane(x, kernel, stride))
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        from splitkit.autograd.depthwise_kernels import weight_gradient_kernel, window_kernel

        x, weight = ctx.saved_tensors
        stride, kernel = ctx.stride, weight.shape[2]
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        of_x = of_weight = None
        if ctx.needs_input_grad[0]:
            of_x, turned = torch.empty_like(x), _window(weight).flip(0, 1)
            run = compiled(window_kernel, kernel, 1, stride, storage_of(x))
            run(pixels(gradient), turned, pixels(of_x), _plane(x, kernel, stride))
        if ctx.needs_input_grad[1]:
            slopes = weight.new_empty(kernel, kernel, x.shape[1] // LANES, LANES)
            run = compiled(weight_gradient_kernel, kernel, stride, storage_of(x))
            run(pixels(x), pixels(gradient), slopes, _plane(x, kernel, stride))
            of_weight = slopes.flatten(2).permute(2, 0, 1).unsqueeze(1)
        return of_x, of_weight, None


def _window(weight: Tensor) -> Tensor:
    """(c, 1, k, k) -> (k, k, c / LANES, LANES)."""
    c, _, k, _ = weight.shape
    return weight.detach().squeeze(1).permute(1, 2, 0).contiguous().view(k, k, c // LANES, LANES)


def _plane(x: Tensor, kernel: int, stride: int) -> Tensor:
    """One block of channels of one image, with its border; what strides leave over included."""
    border = kernel + stride
    return x.new_zeros(x.shape[2] + border, x.shape[3] + border, LANES, dtype=torch.float32)
