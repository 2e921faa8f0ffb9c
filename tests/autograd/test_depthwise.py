"""Depthwise convolution and its gradients, against torch's."""

import pytest
import torch
import torch.nn.functional as F

from splitkit.autograd import depthwise
from splitkit.autograd.native import usable


@pytest.mark.parametrize("shape", [(3, 16, 9, 7), (2, 8, 4, 4), (2, 24, 1, 2), (1, 8, 11, 12)])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
def test_values_and_gradients_are_torchs(kernel: int, stride: int, shape: tuple[int, ...]) -> None:
    noise = torch.Generator().manual_seed(kernel)
    x = torch.randn(shape, generator=noise).to(memory_format=torch.channels_last)
    weight = torch.randn(shape[1], 1, kernel, kernel, generator=noise)
    assert usable(x)
    found = []
    for own in (False, True):
        pixels, window = x.clone().requires_grad_(), weight.clone().requires_grad_()
        if own:
            y = depthwise(pixels, window, stride)
        else:
            y = F.conv2d(pixels, window, None, stride, kernel // 2, groups=len(window))
        y.backward(torch.cos(torch.arange(y.numel(), dtype=torch.float32)).view(y.shape))
        found.append((y.detach(), pixels.grad, window.grad))
    assert found[0][0].std() > 0.1
    for wanted, got in zip(*found, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [3, 5])
def test_bfloat16_gives_what_float32_gives_rounded_once(kernel: int, stride: int) -> None:
    noise = torch.Generator().manual_seed(kernel)
    x = torch.randn((3, 16, 9, 7), generator=noise).to(memory_format=torch.channels_last).bfloat16()
    weight = torch.randn(16, 1, kernel, kernel, generator=noise)
    found = []
    for dtype in (torch.float32, torch.bfloat16):
        pixels, window = x.to(dtype).requires_grad_(), weight.clone().requires_grad_()
        y = depthwise(pixels, window, stride)
        assert y.dtype == dtype
        upstream = torch.cos(torch.arange(y.numel(), dtype=torch.float32)).view(y.shape).bfloat16()
        y.backward(upstream.to(dtype))
        found.append((y.detach(), pixels.grad, window.grad))
    for wanted, got in zip(*found, strict=True):
        assert wanted is not None
        assert got is not None
        assert torch.equal(got, wanted.to(got.dtype))


def test_channels_that_fill_no_block_are_left_to_torch() -> None:
    x = torch.randn(2, 12, 5, 5).to(memory_format=torch.channels_last)
    weight = torch.randn(12, 1, 3, 3)
    assert not usable(x)
    torch.testing.assert_close(depthwise(x, weight, 2), F.conv2d(x, weight, None, 2, 1, groups=12))
