"""Batch norm, activation and residual in one, against torch's own operators one by one, in float64."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from splitkit.autograd import normalise
from splitkit.autograd.activation import activate
from splitkit.autograd.native import usable

SHAPES = [(5, 24, 7, 9), (3, 8, 1, 1), (2, 16, 3, 3), (4, 40, 33, 2), (1, 8, 1, 3)]
"""Rows that are no multiple of anything, single pixels, more rows than a chunk."""


def given(shape: tuple[int, ...], mean: float, seed: int = 0) -> list[Tensor]:
    """x, gain, shift, residual and the gradient of the result."""
    noise = torch.Generator().manual_seed(seed)
    x, residual, gradient = (torch.randn(shape, generator=noise) for _ in range(3))
    gain, shift = torch.rand(shape[1], generator=noise) + 0.5, torch.randn(shape[1], generator=noise)
    tensors = [2 * x + mean, gain, shift, residual, gradient]
    return [t.to(memory_format=torch.channels_last) if t.ndim == 4 else t for t in tensors]


def reference(x: Tensor, gain: Tensor, shift: Tensor, activation: str, residual: Tensor | None) -> Tensor:
    y = activate(activation, F.batch_norm(x, None, None, gain, shift, training=True, eps=1e-5))
    return y if residual is None else y + residual


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("activation", ["", "relu", "relu6", "hard_swish", "swish"])
@pytest.mark.parametrize("added", [False, True], ids=["alone", "with a residual"])
def test_values_and_gradients_are_those_of_the_operators_one_by_one(
    shape: tuple[int, ...], activation: str, added: bool
) -> None:
    *inputs, upstream = given(shape, mean=30.0)  # far from 0, where sums of squares lose digits
    assert usable(inputs[0], inputs[3])
    found: list[list[Tensor]] = []
    for dtype, compute in ((torch.float64, reference), (torch.float32, normalise)):
        x, gain, shift, residual = (t.to(dtype).clone().requires_grad_() for t in inputs)
        # `x * 1` is a fresh result, as a convolution's is: its memory may be used again.
        y = compute(x * 1, gain, shift, activation, residual if added else None)
        y.backward(upstream.to(dtype))
        leaves = (x, gain, shift, residual) if added else (x, gain, shift)
        found.append([y.detach(), *(leaf.grad for leaf in leaves if leaf.grad is not None)])
    assert len(found[0]) == len(found[1]) == (5 if added else 4)
    # float32 rounding of pixels around 30 is 2e-6, of which a normalised value sees the half.
    for name, wanted, own in zip(("y", "x", "gain", "shift", "residual"), *found, strict=False):
        torch.testing.assert_close(own.double(), wanted, rtol=2e-5, atol=2e-5 * float(wanted.abs().max()), msg=name)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("activation", ["", "relu", "relu6", "hard_swish", "swish"])
@pytest.mark.parametrize("added", [False, True], ids=["alone", "with a residual"])
def test_bfloat16_gives_what_float32_gives_rounded_once(shape: tuple[int, ...], activation: str, added: bool) -> None:
    x, gain, shift, residual, upstream = given(shape, mean=3.0)
    found: list[list[Tensor]] = []
    for dtype in (torch.float32, torch.bfloat16):
        # The same numbers: those that bfloat16 has.
        inputs = [t.bfloat16().to(dtype).requires_grad_() for t in (x, residual)]
        weights = [t.clone().requires_grad_() for t in (gain, shift)]
        y = normalise(inputs[0] * 1, *weights, activation, inputs[1] if added else None)
        assert y.dtype == dtype
        y.backward(upstream.bfloat16().to(dtype))
        found.append([y.detach(), *(t.grad for t in (inputs[0], *weights, inputs[1]) if t.grad is not None)])
    exact, rounded = found
    assert len(exact) == (5 if added else 4)
    assert float(exact[0].abs().max()) > 1
    for wanted, own in zip(exact, rounded, strict=True):
        assert torch.equal(own, wanted.to(own.dtype))


def test_a_residual_of_another_dtype_is_taken() -> None:
    x, gain, shift, residual, _ = given((2, 8, 3, 3), mean=0.0)
    assert torch.equal(
        normalise(x.bfloat16(), gain, shift, "relu", residual),
        normalise(x.bfloat16(), gain, shift, "relu", residual.bfloat16()),
    )


def test_what_is_not_a_number_stays_that_in_bfloat16() -> None:
    x, gain, shift, _, _ = given((2, 8, 3, 3), mean=0.0)
    x[0, 3, 1, 1] = float("nan")
    y = normalise(x.bfloat16(), gain, shift)
    assert bool(y[:, 3].isnan().all())
    assert not bool(y[:, :3].isnan().any())


def test_a_sigmoid_saturates_on_both_sides() -> None:
    x, _, shift, _, upstream = given((4, 16, 9, 9), mean=0.0)
    gain = torch.full_like(shift, 60.0)
    found = []
    for dtype, compute in ((torch.float64, reference), (torch.float32, normalise)):
        source = x.to(dtype).clone().requires_grad_()
        y = compute(source * 1, gain.to(dtype), shift.to(dtype), "swish", None)
        y.backward(upstream.to(dtype))
        found.append((y.detach(), source.grad))
    (wanted, slope), (own, own_slope) = found
    assert slope is not None
    assert own_slope is not None
    assert float(wanted.max()) > 120
    assert float(wanted.min()) > -0.3
    # float32 holds the arguments, up to 200, to 1e-5.
    torch.testing.assert_close(own.double(), wanted, rtol=1e-5, atol=5e-5)
    torch.testing.assert_close(own_slope.double(), slope, rtol=2e-5, atol=2e-5 * float(slope.abs().max()))


def test_a_gradient_reaches_what_was_before_the_convolution() -> None:
    x, gain, shift, _, upstream = given((4, 16, 5, 5), mean=0.0)
    weight = torch.randn(16, 16, 1, 1, generator=torch.Generator().manual_seed(1))
    grads = []
    for compute in (reference, normalise):
        source, kernel = x.clone().requires_grad_(), weight.clone().requires_grad_()
        compute(F.conv2d(source, kernel), gain, shift, "hard_swish", None).backward(upstream)
        grads.append((source.grad, kernel.grad))
    for found, wanted in zip(grads[1], grads[0], strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def test_a_second_backward_pass_is_refused_since_the_first_has_used_the_memory() -> None:
    x, gain, shift, _, upstream = given((2, 8, 3, 3), mean=0.0)
    y = normalise((x * 1).requires_grad_(), gain, shift)
    y.backward(upstream, retain_graph=True)
    with pytest.raises(RuntimeError, match="a second backward pass"):
        y.backward(upstream)


@pytest.mark.parametrize(
    ("x", "activation"),
    [
        (torch.randn(2, 12, 4, 4).to(memory_format=torch.channels_last), "relu"),  # no whole block
        (torch.randn(2, 16, 4, 4), "relu"),  # channels first
        (torch.randn(2, 16, 4, 4).to(memory_format=torch.channels_last), "hard_sigmoid"),
        (torch.randn(2, 16, 4, 4, dtype=torch.float64).to(memory_format=torch.channels_last), "relu"),
    ],
    ids=["channels", "layout", "activation", "dtype"],
)
def test_what_kernels_cannot_do_torch_does(x: Tensor, activation: str) -> None:
    gain, shift = torch.ones(x.shape[1], dtype=x.dtype), torch.zeros(x.shape[1], dtype=x.dtype)
    torch.testing.assert_close(normalise(x, gain, shift, activation), reference(x, gain, shift, activation, None))
