"""Variance through the bottleneck, forward and backward."""

import pytest
import torch

from splitkit.space.operators import Operator
from splitkit.space.tensor import TensorSpec
from splitkit.supernet.elastic import ElasticConv
from splitkit.supernet.extents import LayerExtent
from splitkit.supernet.initialise import initialise_splitting_pair
from splitkit.supernet.statistics import BatchStatistics

WIDTH, LINK = 64, 64


def pair(views: int, normed: bool, link: int = LINK) -> tuple[ElasticConv, ElasticConv]:
    reduce = ElasticConv(LayerExtent("conv", WIDTH, link, (1,), depthwise=False, stacked=1), normed)
    fuse = ElasticConv(LayerExtent("conv", views * link, WIDTH, (1,), depthwise=False, stacked=views), normed)
    torch.manual_seed(0)
    initialise_splitting_pair(reduce, fuse)
    return reduce, fuse


def operator(inputs: int, outputs: int) -> Operator:
    return Operator("conv", (TensorSpec("x", (1, inputs, 8, 8)),), TensorSpec("y", (1, outputs, 8, 8)))


def variances(reduce: ElasticConv, fuse: ElasticConv, views: int, link: int, width: int) -> tuple[float, float, float]:
    """Ratios to unit-variance inputs: at the link, behind the pair, and of the gradient (all views) ahead of it."""
    torch.manual_seed(1)
    x = torch.randn(64 * views, width, 8, 8, requires_grad=True)
    sent = reduce(x, operator(width, link), BatchStatistics())
    z = fuse(sent.reshape(64, views * link, 8, 8), operator(views * link, width), BatchStatistics())
    z.backward(torch.randn_like(z))
    assert x.grad is not None
    return sent.var().item(), z.var().item(), x.grad.var().item() * views


@pytest.mark.parametrize("views", [1, 2])
@pytest.mark.parametrize("link", [8, 16, 32, 64])
def test_pair_without_batch_norm_keeps_both_variances(views: int, link: int) -> None:
    reduce, fuse = pair(views, normed=False, link=link)
    sent, forward, backward = variances(reduce, fuse, views, link, WIDTH)
    assert sent == pytest.approx(1, abs=0.05)
    assert forward == pytest.approx(1, abs=0.05)
    assert backward == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("views", [1, 2])
@pytest.mark.parametrize("link", [8, 16, 32, 64])
@pytest.mark.parametrize("width", [32, 64])
def test_elastic_pair_keeps_both_variances_at_every_ratio_and_width(views: int, link: int, width: int) -> None:
    reduce, fuse = pair(views, normed=True)
    sent, forward, backward = variances(reduce, fuse, views, link, width)
    assert sent == pytest.approx(1, abs=0.05)
    assert forward == pytest.approx(1, abs=0.05)
    assert backward == pytest.approx(1, abs=0.3)


def test_usual_initialisation_would_not_keep_them() -> None:
    reduce, fuse = pair(1, normed=False, link=8)
    for layer in (reduce, fuse):
        torch.nn.init.kaiming_normal_(layer.weight, mode="fan_out")
    sent, forward, backward = variances(reduce, fuse, 1, 8, WIDTH)
    assert sent > 8
    assert forward > 2
    assert backward > 2
