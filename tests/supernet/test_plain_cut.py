"""Trained networks cut plainly, and with a bottleneck put in."""

from dataclasses import replace

import pytest
import torch

from splitkit.space import load_space
from splitkit.space.mobilenet import mobilenet_like
from splitkit.space.plain_cut import PlainCut
from splitkit.supernet import CutNetwork, SubNetwork, Supernet, extract, with_bottleneck
from splitkit.supernet.plain_cut import features

SPACE, WHOLE = mobilenet_like(load_space("tiny"))
IMAGES = torch.randint(0, 256, (24, 1, 1, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def whole() -> SubNetwork:
    return extract(Supernet(SPACE, 0), WHOLE, IMAGES)


@pytest.mark.parametrize("boundary", [0, 1, 4, WHOLE.units])
def test_as_it_is_a_cut_changes_nothing(whole: SubNetwork, boundary: int) -> None:
    with torch.no_grad():
        assert torch.equal(CutNetwork(whole, PlainCut(boundary), IMAGES)(IMAGES), whole(IMAGES))


@pytest.mark.parametrize(("dtype", "off"), [("float16", 5e-3), ("uint8", 0.2)])
def test_a_narrower_link_changes_a_little(whole: SubNetwork, dtype: str, off: float) -> None:
    with torch.no_grad():
        exact, found = whole(IMAGES), CutNetwork(whole, PlainCut(3, dtype), IMAGES)(IMAGES)
    difference = float((found - exact).norm() / exact.norm())
    assert 0 < difference < off


@pytest.mark.parametrize("boundary", [0, 2])
def test_several_views_some_of_them_missing_are_cut_without_a_change(boundary: int) -> None:
    image = SPACE.input.model_copy(update={"views": 2, "masked": True})
    space, architecture = mobilenet_like(load_space("tiny").model_copy(update={"input": image}))
    frames = IMAGES.reshape(12, 2, 1, 32, 32)
    joined = extract(Supernet(space, 0), architecture, frames)
    cut = CutNetwork(joined, PlainCut(boundary), frames)
    present = torch.tensor([[1.0, 0.0]] * 12)
    with torch.no_grad():
        assert torch.equal(cut(frames), joined(frames))
        assert torch.equal(cut(frames, present), joined(frames, present))
        assert not torch.equal(cut(frames, present), cut(frames))


def test_a_bottleneck_as_wide_as_the_features_changes_nothing(whole: SubNetwork) -> None:
    cut = SPACE.canonical(replace(WHOLE, split=4, fuse=4, reduce_ratio=1.0, link_dtype="float32"))
    with torch.no_grad():
        assert torch.allclose(with_bottleneck(whole, cut, IMAGES)(IMAGES), whole(IMAGES), atol=2e-3)


def test_a_bottleneck_begins_with_the_features_principal_components(whole: SubNetwork) -> None:
    errors = []
    for ratio in (0.125, 0.5):
        cut = SPACE.canonical(replace(WHOLE, split=4, fuse=4, reduce_ratio=ratio, link_dtype="float32"))
        made = with_bottleneck(whole, cut, IMAGES)
        assert made.sensor is not None
        assert made.aggregator is not None
        with torch.no_grad():
            behind = made.aggregator.units()[0](made.sensor(IMAGES.flatten(0, 1)))
            seen = features(whole, 4, IMAGES)
        samples = seen.movedim(1, -1).flatten(0, 2).double()
        spread = torch.linalg.eigvalsh(torch.cov(samples.T, correction=0)).flip(0)
        kept = made.sensor.units()[-1].convs["reduce"].weight.shape[0]  # type: ignore[union-attr]
        least = float(spread[kept:].sum()) / len(spread)  # what no linear bottleneck of this width can do without
        errors.append(float((behind - seen).double().square().mean()))
        assert errors[-1] == pytest.approx(least, rel=0.02, abs=1e-6)
    assert errors[0] > errors[1]


def test_a_bottlenecks_uint8_link_holds_what_crosses(whole: SubNetwork) -> None:
    cut = SPACE.canonical(replace(WHOLE, split=3, fuse=3, reduce_ratio=0.5, link_dtype="uint8"))
    made = with_bottleneck(whole, cut, IMAGES)
    assert made.quantisation is not None
    assert made.sensor is not None
    codes = made.sensor(IMAGES.flatten(0, 1))
    assert codes.dtype == torch.uint8
    assert int(codes.min()) == 0
    assert int(codes.max()) == 255


def test_the_network_that_is_cut_keeps_its_weights(whole: SubNetwork) -> None:
    before = {name: value.clone() for name, value in whole.state_dict().items()}
    cut = SPACE.canonical(replace(WHOLE, split=3, fuse=3, reduce_ratio=0.25, link_dtype="uint8"))
    made = with_bottleneck(whole, cut, IMAGES)
    for parameter in made.parameters():
        parameter.data.add_(1.0)
    assert all(torch.equal(value, before[name]) for name, value in whole.state_dict().items())
