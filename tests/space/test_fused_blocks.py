"""Fused blocks: a dense convolution in the place of expand and depthwise, as a choice beside the inverted residual."""

import numpy as np
import pytest
import torch

from splitkit.errors import ConfigError
from splitkit.space import Sampler, SearchSpace, describe, load_space
from splitkit.space.search_space import parse_space
from splitkit.space.units import Block
from splitkit.supernet import Supernet, calibrate, extract


def with_blocks(*blocks: str, squeeze_excite: bool = False) -> SearchSpace:
    tiny = load_space("tiny")
    phases = [
        phase.model_dump() | {"blocks": blocks, "expands": (1, 2), "squeeze_excite": squeeze_excite}
        for phase in tiny.phases
    ]
    return SearchSpace.model_validate(tiny.model_dump() | {"phases": phases})


def operators(expand: int, in_channels: int = 24) -> list[tuple[str, int, int, int]]:
    """(kind, window, groups, channels) of a fused block's operators."""
    block = Block(1, in_channels, 24, 10, "fused", expand, 3, 1, squeeze_excite=False, activation="relu")
    return [(o.kind, o.kernel, o.groups, o.output.shape[1]) for o in block.operators(block.input_tensors(), "b")]


def test_it_is_one_dense_convolution_and_a_projection() -> None:
    assert operators(4) == [("conv", 3, 1, 96), ("activation", 1, 1, 96), ("conv", 1, 1, 24), ("add", 1, 1, 24)]


def test_without_expansion_it_is_one_convolution_that_adds_its_input_where_shapes_allow() -> None:
    assert operators(1) == [("conv", 3, 1, 24), ("activation", 1, 1, 24), ("add", 1, 1, 24)]
    assert operators(1, in_channels=16) == [("conv", 3, 1, 24), ("activation", 1, 1, 24)]


def test_the_largest_network_is_fused_where_both_are_allowed() -> None:
    space = with_blocks("inverted", "fused")
    assert {phase.block for phase in space.largest(1).phases} == {"fused"}
    assert {phase.block for phase in space.smallest(1).phases} == {"inverted"}
    largest, inverted = describe(space, space.largest(1)), with_blocks("inverted")
    assert largest.macs("aggregator") > describe(inverted, inverted.largest(1)).macs("aggregator")


@pytest.mark.parametrize("squeeze_excite", [False, True])
def test_every_network_of_a_mixed_space_is_in_its_supernet(squeeze_excite: bool) -> None:
    space = with_blocks("inverted", "fused", squeeze_excite=squeeze_excite)
    supernet = Supernet(space)
    size = space.input.size
    images = torch.randint(0, 256, (8, 1, 1, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    sampler = Sampler(space, np.random.default_rng(0))
    kinds = set()
    for _ in range(12):
        architecture = sampler.uniform()
        kinds |= {(phase.block, phase.expand) for phase in architecture.phases}
        with torch.no_grad():
            expected = supernet(images, architecture, calibrate(supernet, architecture, images))
            found = extract(supernet, architecture, images)(images)
        assert expected.std() > 0.02
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    assert len(kinds) == 4


def test_kinds_are_listed_from_small_to_large() -> None:
    text = """
name = "mixed"
[input]
channels = 1
size = 32
resolutions = [32]
[stem]
widths = [8]
[[phases]]
widths = [16]
blocks = ["fused", "inverted"]
[head]
classes = 10
[link]
reduce_ratios = [0.5]
"""
    with pytest.raises(ConfigError, match=r'mixed: phases\[0\]\.blocks: .*wanted is one of them or \["inverted"'):
        parse_space(text, "mixed")


def test_an_architecture_from_before_there_were_kinds_is_inverted() -> None:
    space = load_space("tiny")
    body = space.largest(1).to_json()
    for phase in body["phases"]:
        del phase["block"]
    assert type(space.largest(1)).from_json(body) == space.largest(1)
