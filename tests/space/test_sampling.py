from collections import Counter

import numpy as np
import pytest
from scipy.stats import chisquare

from splitkit.space import Sampler, SearchSpace, space_size
from splitkit.space.encoding import Encoding
from splitkit.space.search_space import parse_space

from .strategies import with_views

SMALL = """
name = "small"
[input]
channels = 1
size = 16
resolutions = [16]
[stem]
widths = [8, 24]
[[phases]]
widths = [8, 40]
before = [0, 1]
after = [0, 2]
kernels = [3]
expands = [2]
[head]
classes = 3
[link]
reduce_ratios = [0.125, 0.25, 1.0]
dtypes = ["float32", "uint8"]
"""


def enumerate_all(space: SearchSpace) -> set[object]:
    encoding = Encoding(space)
    grids = np.meshgrid(*(np.arange(high + 1) for high in encoding.upper), indexing="ij")
    return {encoding.decode(genes) for genes in np.stack([g.ravel() for g in grids], axis=1)}


@pytest.mark.parametrize("views", [1, 2])
@pytest.mark.parametrize("placements", [("aggregator", "split", "sensor"), ("split",), ("aggregator", "sensor")])
def test_size_counts_every_canonical_architecture(views: int, placements: tuple[str, ...]) -> None:
    space = with_views(parse_space(SMALL, "small"), views).restricted(*placements)  # type: ignore[arg-type]
    assert space_size(space) == len(enumerate_all(space))


@pytest.mark.parametrize("views", [1, 2])
def test_sampling_is_uniform(views: int) -> None:
    space = with_views(parse_space(SMALL, "small"), views)
    everything = sorted(enumerate_all(space), key=str)
    sampler = Sampler(space, np.random.default_rng(7))
    draws = 30 * len(everything)
    counts = Counter(sampler.uniform() for _ in range(draws))
    assert set(counts) <= set(everything)
    # The sum of squares over many cells is sensitive to any cell or group of cells being off; fixed seed.
    assert chisquare([counts[a] for a in everything]).pvalue > 0.01
