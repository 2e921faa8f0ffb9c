"""What weight sharing promises: which weights a sub-network uses, and that all of them learn."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from splitkit.sides import SIDES
from splitkit.space import Sampler, SearchSpace, describe, load_space
from splitkit.space.operators import Operator
from splitkit.space.tensor import TensorSpec
from splitkit.supernet import Supernet
from splitkit.supernet.elastic import ElasticConv
from splitkit.supernet.extents import LayerExtent
from splitkit.supernet.interpret import operators_of
from splitkit.supernet.sharing import weights_of
from splitkit.supernet.statistics import BatchStatistics
from splitkit.training import TrainConfig
from splitkit.training.sandwich import SandwichSampler

TINY = load_space("tiny")


def two_views(space: SearchSpace) -> SearchSpace:
    return space.model_copy(update={"input": space.input.model_copy(update={"views": 2})})


def random_images(space: SearchSpace, n: int) -> Tensor:
    shape = (n, space.views, space.input.channels, space.input.size, space.input.size)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def conv_operator(in_channels: int, out_channels: int, kernel: int, groups: int = 1) -> Operator:
    source, output = TensorSpec("x", (1, in_channels, 8, 8)), TensorSpec("y", (1, out_channels, 8, 8))
    return Operator("conv", (source,), output, kernel=kernel, groups=groups)


def test_smaller_window_is_the_centre_of_the_larger_one() -> None:
    layer = ElasticConv(LayerExtent("conv", 8, 8, (3, 5), depthwise=True, stacked=1))
    torch.nn.init.normal_(layer.weight)
    sliced = layer.sliced_weight(conv_operator(4, 4, kernel=3, groups=4))
    assert torch.equal(sliced, layer.weight[:4, :, 1:4, 1:4])


def test_window_transform_applies_to_the_smaller_window_only() -> None:
    layer = ElasticConv(LayerExtent("conv", 8, 8, (3, 5), depthwise=True, stacked=1))
    torch.nn.init.normal_(layer.weight)
    with torch.no_grad():
        layer.transforms["3"].mul_(2.0)
    small = layer.sliced_weight(conv_operator(8, 8, kernel=3, groups=8))
    assert torch.equal(small, 2 * layer.weight[:, :, 1:4, 1:4])
    assert torch.equal(layer.sliced_weight(conv_operator(8, 8, kernel=5, groups=8)), layer.weight)


def test_fewer_link_channels_keep_every_views_own_weights() -> None:
    layer = ElasticConv(LayerExtent("conv", 16, 4, (1,), depthwise=False, stacked=2))
    with torch.no_grad():
        layer.weight.copy_(torch.arange(16.0).view(1, 16, 1, 1).expand(4, 16, 1, 1))
    sliced = layer.sliced_weight(conv_operator(6, 4, kernel=1))
    assert sliced[0].flatten().tolist() == [0, 1, 2, 8, 9, 10]


def test_a_small_1x1_convolution_has_the_gradients_of_a_convolution() -> None:
    layer = ElasticConv(LayerExtent("conv", 16, 24, (1,), depthwise=False, stacked=1), normed=False).double()
    torch.nn.init.normal_(layer.weight)
    operator, noise = conv_operator(10, 20, kernel=1), torch.Generator().manual_seed(0)
    x = torch.randn(3, 10, 4, 4, dtype=torch.float64, generator=noise, requires_grad=True)
    output = layer(x, operator, BatchStatistics())
    expected = torch.nn.functional.conv2d(x, layer.weight[:20, :10], layer.bias[:20])
    torch.testing.assert_close(output, expected)
    weights = (x, layer.weight, layer.bias)
    upstream = torch.randn(output.shape, dtype=torch.float64, generator=noise)
    for found, wanted in zip(
        torch.autograd.grad(output, weights, upstream), torch.autograd.grad(expected, weights, upstream), strict=True
    ):
        torch.testing.assert_close(found, wanted)
    assert torch.autograd.gradcheck(lambda x: layer(x, operator, BatchStatistics()), (x,))


def test_separate_sides_share_no_weights() -> None:
    supernet = Supernet(TINY, sides="separate")
    sensor = {p.data_ptr() for p in supernet.sensor.parameters()}
    aggregator = {p.data_ptr() for p in supernet.aggregator.parameters()}
    assert sensor
    assert not sensor & aggregator


@pytest.mark.parametrize("space", [TINY, two_views(TINY)], ids=["one view", "two views"])
def test_shared_sides_have_one_chain_and_splitting_modules_of_their_own(space: SearchSpace) -> None:
    supernet = Supernet(space, sides="shared")
    units = {side: dict(supernet.side(side).units.named_children()) for side in SIDES}
    both = units["sensor"].keys() & units["aggregator"].keys()
    chain = {key for key in both if not key.endswith("_reduce")}
    assert chain == {key for key, _ in weights_of(describe(space, space.largest(0)).aggregator)} - {
        key for key in units["aggregator"] if key.endswith(("_reduce", "_fuse"))
    }
    assert all(units["sensor"][key] is units["aggregator"][key] for key in chain)
    assert not any(units["sensor"][key] is units["aggregator"][key] for key in both - chain)
    assert any(key.endswith("_fuse") for key in units["aggregator"].keys() - both)


def test_a_cut_uses_weights_of_the_sensor_ahead_and_of_the_aggregator_behind() -> None:
    supernet = Supernet(TINY, sides="separate")
    architecture = TINY.largest(4)
    supernet(random_images(TINY, 8), architecture).square().sum().backward()
    network = describe(TINY, architecture)
    for side in ("sensor", "aggregator"):
        used = {name.split(".")[1] for name, p in getattr(supernet, side).named_parameters() if p.grad is not None}
        assert used == {key for key, _ in weights_of(getattr(network, side))}


def test_every_weight_is_trained_within_an_epoch_of_sandwiches() -> None:
    for space, steps in ((TINY, 60), (two_views(TINY), 300)):  # of the latter, a quarter of the draws has an attention
        config = TrainConfig(steps=steps, batch=8, learning_rate=0.1, random_subnetworks=4)
        supernet, sampler = Supernet(space), SandwichSampler(space, config)
        wanted = set(dict(supernet.named_parameters()))
        for step in range(steps):
            sandwich = sampler.draw(step)
            assert sandwich.teacher is not None
            for architecture in (sandwich.teacher, *sandwich.students):
                network = describe(space, architecture)
                for side in ("sensor", "aggregator"):
                    for key, placed in weights_of(getattr(network, side)):
                        layers = {op.output.name.rpartition(".")[2] for op in operators_of(placed)}
                        wanted -= {
                            n for n in wanted if n.startswith(f"{side}.units.{key}.") and n.split(".")[4] in layers
                        }
        assert not wanted


def test_two_views_are_not_treated_alike_by_fuse_but_are_by_the_sensor() -> None:
    space = two_views(TINY)
    supernet, images = Supernet(space), random_images(space, 8)
    swapped = images.flip(1)
    with torch.no_grad():
        early = space.largest(4)
        assert not torch.allclose(supernet(images, early), supernet(swapped, early), atol=1e-3)
        late = space.largest(99)
        torch.testing.assert_close(supernet(images, late), supernet(swapped, late), rtol=1e-4, atol=1e-4)


def test_link_precision_is_in_the_forward_pass_and_gradients_pass_straight_through() -> None:
    supernet, images = Supernet(TINY), random_images(TINY, 16)
    exact = TINY.canonical(replace(TINY.largest(4), link_dtype="float32", reduce_ratio=0.25))
    reference = supernet(images, exact)
    reference.square().sum().backward()
    name = "p0_after0_reduce"
    wanted = supernet.sensor.unit(name).conv("reduce").weight.grad
    assert wanted is not None
    wanted = wanted.clone()
    for dtype, least, most in (("float16", 1e-7, 5e-3), ("uint8", 1e-4, 0.3)):
        supernet.zero_grad()
        scores = supernet(images, replace(exact, link_dtype=dtype))
        difference = (scores - reference).abs().max().item()
        assert least < difference < most
        scores.square().sum().backward()
        grad = supernet.sensor.unit(name).conv("reduce").weight.grad
        assert grad is not None
        assert torch.cosine_similarity(grad.flatten(), wanted.flatten(), dim=0) > 0.98


def test_same_seed_gives_the_same_weights_and_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    a, b, c = Supernet(TINY, 1), Supernet(TINY, 1), Supernet(TINY, 2)
    assert torch.equal(before, torch.random.get_rng_state())
    weights = [torch.cat([p.flatten() for p in net.parameters()]) for net in (a, b, c)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_scores_of_any_sampled_architecture_have_a_row_per_frame() -> None:
    space = two_views(load_space("cifar"))
    supernet, sampler = Supernet(space), Sampler(space, np.random.default_rng(0))
    for _ in range(10):
        with torch.no_grad():
            assert supernet(random_images(space, 3), sampler.uniform()).shape == (3, 10)
