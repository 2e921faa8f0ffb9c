"""Hypothesis strategies over search spaces and their members."""

import numpy as np
from hypothesis import strategies as st

from splitkit.space import Architecture, SearchSpace, load_space
from splitkit.space.encoding import Encoding
from splitkit.space.search_space import Fusion


def with_views(space: SearchSpace, views: int, *, masked: bool = False) -> SearchSpace:
    """The same space for another number of sensors, whose views may lack or not."""
    changed = space.input.model_copy(update={"views": views, "masked": masked})
    return space.model_copy(update={"input": changed})


FUSIONS: tuple[Fusion, ...] = ("concat", "sum", "mean", "max", "attention")


def with_fusions(space: SearchSpace, *fusions: Fusion) -> SearchSpace:
    """The same space with other ways of joining views."""
    return space.model_copy(update={"link": space.link.model_copy(update={"fusions": fusions})})


@st.composite
def spaces(draw: st.DrawFn) -> SearchSpace:
    """A preset, for one to three views, with any choice of placements."""
    views = draw(st.integers(1, 3))
    masked = views > 1 and draw(st.booleans())
    space = with_views(load_space(draw(st.sampled_from(["tiny", "cifar", "mobile"]))), views, masked=masked)
    space = with_fusions(space, *draw(st.lists(st.sampled_from(FUSIONS), min_size=1, unique=True)))
    placements = draw(st.lists(st.sampled_from(["aggregator", "split", "sensor"]), min_size=1, unique=True))
    return space.restricted(*placements)  # type: ignore[arg-type]


@st.composite
def members(draw: st.DrawFn) -> tuple[SearchSpace, Architecture]:
    """A space and any of its canonical architectures."""
    space = draw(spaces())
    encoding = Encoding(space)
    genes = [draw(st.integers(0, int(high))) for high in encoding.upper]
    return space, encoding.decode(np.array(genes))
