"""Networks cut where they were not made to be cut."""

from dataclasses import replace

import pytest

from splitkit.space import SearchSpace, describe, load_space
from splitkit.space.mobilenet import mobilenet_like
from splitkit.space.plain_cut import PlainCut, cut_plainly, plain_cuts, uncut

TINY = load_space("tiny")
WHOLE = TINY.largest(3)


def test_a_plain_cut_leaves_the_units_as_they_are() -> None:
    whole = describe(TINY, uncut(TINY, WHOLE)).aggregator
    for cut in plain_cuts(TINY, WHOLE):
        network = cut_plainly(TINY, WHOLE, cut)
        kept = [p for p in (*network.sensor, *network.aggregator) if not p.slot.endswith((".send", ".receive"))]
        assert tuple(kept) == whole
        assert sum(not p.slot.endswith(".send") for p in network.sensor) == cut.boundary


def test_every_boundary_and_dtype_is_there_once() -> None:
    cuts = plain_cuts(TINY, WHOLE)
    assert len(cuts) == len(set(cuts)) == 2 + (WHOLE.units - 1) * len(TINY.link.dtypes)
    assert (cuts[0].boundary, cuts[-1].boundary) == (0, WHOLE.units)


@pytest.mark.parametrize(("dtype", "each"), [("float32", 4), ("float16", 2), ("uint8", 1)])
def test_all_channels_cross_in_the_dtype_of_the_link(dtype: str, each: int) -> None:
    network = cut_plainly(TINY, WHOLE, PlainCut(1, dtype))
    assert network.link.dtype == dtype
    assert network.payload_bytes == each * 16 * 16 * 16
    assert network.operators("aggregator")[0].inputs[0].dtype == dtype


def test_at_the_ends_image_or_scores_cross_as_they_are() -> None:
    assert cut_plainly(TINY, WHOLE, PlainCut(0)).payload_bytes == 32 * 32
    scores = cut_plainly(TINY, WHOLE, PlainCut(WHOLE.units))
    assert scores.payload_bytes == 4 * 10
    assert scores.aggregator == ()


@pytest.mark.parametrize("masked", [False, True])
def test_several_views_are_cut_before_they_are_joined(masked: bool) -> None:
    image = TINY.input.model_copy(update={"views": 3, "masked": masked})
    space = TINY.model_copy(update={"input": image})
    architecture = replace(space.largest(0), fuse=4)
    cuts = plain_cuts(space, architecture)
    assert {cut.boundary for cut in cuts} == {0, 1, 2, 3, 4}
    whole = describe(space, architecture)
    for cut in cuts:
        network = cut_plainly(space, architecture, cut)
        assert network.views == 3
        assert network.link.shape[0] == 1, "each sensor sends its own view"
        assert network.operators("aggregator")[0].inputs[0].shape[0] == 3
        assert 3 * network.macs("sensor") + network.macs("aggregator") == whole.macs("aggregator")


def test_the_fixed_network_joins_several_views_behind_its_last_block_by_their_maximum() -> None:
    space = TINY.model_copy(update={"input": TINY.input.model_copy(update={"views": 4})})
    fixed, architecture = mobilenet_like(space)
    fixed.check(architecture)
    assert (architecture.fuse, architecture.fusion, architecture.split) == (architecture.units - 1, "max", 0)
    assert architecture.reduce_ratio == max(space.link.reduce_ratios)


@pytest.mark.parametrize("name", ["tiny", "cifar", "mobile"])
def test_the_fixed_network_has_mobilenets_blocks_in_the_spaces_outline(name: str) -> None:
    space = load_space(name)
    fixed, architecture = mobilenet_like(space)
    fixed.check(architecture)
    assert architecture.placement == "aggregator"
    assert fixed.input.size == space.input.size
    assert [p.stride for p in fixed.phases] == [p.stride for p in space.phases]
    for choice, own, phase in zip(architecture.phases, fixed.phases, space.phases, strict=True):
        assert (choice.block, choice.kernel, own.activation, own.squeeze_excite) == ("inverted", 3, "relu6", False)
        assert choice.expand == (1 if phase.stride == 1 and max(phase.expands) == 1 else 6)
        assert choice.width in phase.widths
    assert fixed.head.classes == space.head.classes
    assert "relu6" in {o.activation for o in describe(fixed, architecture).operators("aggregator")}


def test_the_fixed_space_can_be_cut_anywhere_over_every_link_of_the_space() -> None:
    fixed, architecture = mobilenet_like(TINY)
    assert isinstance(fixed, SearchSpace)
    assert fixed.link == TINY.link
    fixed.check(fixed.smallest(architecture.units - 1))
