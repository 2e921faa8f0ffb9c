"""What one system's search found, offered to the others: the same network, cut elsewhere.

A network that is good on the sensor alone is worth trying on the aggregator, and cut at every position between: with a
cut just ahead of its head it costs about what it costs uncut. So no system can be left far behind another one for
not having met its networks.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, zip_longest

import numpy as np

from splitkit.search.candidate import Candidate
from splitkit.search.config import Constraints
from splitkit.search.front import pareto_front, spread
from splitkit.search.operators import row_key
from splitkit.search.protocol import Predictor
from splitkit.space import Architecture, SearchSpace
from splitkit.space.encoding import Encoding
from splitkit.space.search_space import Placement

WORTH = 1.1
"""How much more than its donor a copy may cost and still be worth a wider link."""


def cut_elsewhere(space: SearchSpace, architecture: Architecture, placement: Placement) -> Iterator[Architecture]:
    """The architecture's layers as a system of `placement`: at every position, with every way over the link."""
    units = architecture.units
    if placement == "sensor":
        yield space.canonical(replace(architecture, split=units, fuse=units))
    elif placement == "aggregator":
        joined = architecture if architecture.has_splitting_module else _widest(space, architecture)
        yield space.canonical(replace(joined, split=0))
    else:
        for cut in range(1, units):
            at = replace(architecture, split=cut, fuse=cut)
            for ratio in space.distinct_ratios(space.width_at(architecture, cut)):
                for dtype in space.link.dtypes:
                    yield space.canonical(replace(at, reduce_ratio=ratio, link_dtype=dtype))


def _widest(space: SearchSpace, architecture: Architecture) -> Architecture:
    """The architecture with its views joined as late, and by as wide a splitting module, as there is."""
    return replace(architecture, fuse=architecture.units - 1, reduce_ratio=space.link.reduce_ratios[-1])


def immigrants(
    space: SearchSpace,
    placement: Placement,
    donors: Sequence[Candidate],
    predictor: Predictor,
    constraints: Constraints,
    seen: set[bytes],
    count: int,
) -> list[Architecture]:
    """Up to `count` architectures of `placement`, made of other systems' networks and not seen before there.

    Of each donor the fastest cut at each width of the link is considered, since how much of a feature can be left out
    is for the scores to say. In each width those are taken that nothing beats, if each were as good as its donor.

    Args:
        donors: candidates of any system.
        seen: keys of the gene vectors that this system has evaluated already.
    """
    by_width: dict[float, list[_Cut]] = defaultdict(list)
    for cut in _fastest_cuts(space, placement, donors, predictor, constraints):
        if cut.key not in seen:
            by_width[cut.architecture.reduce_ratio].append(cut)
    picked = []
    for ratio in sorted(by_width, reverse=True):
        cuts = by_width[ratio]
        quality = np.array([donors[cut.donor].score.log_likelihood for cut in cuts])
        total_us = np.array([cut.total_us for cut in cuts])
        front = pareto_front(quality, total_us)
        chosen = front[spread(total_us[front], -(-count // len(by_width)))]
        picked.append([cuts[i].architecture for i in chosen])
    in_turn = [architecture for architecture in chain.from_iterable(zip_longest(*picked)) if architecture is not None]
    return in_turn[:count]


def copies(
    space: SearchSpace, donors: Sequence[Candidate], predictor: Predictor, constraints: Constraints
) -> dict[Architecture, Architecture]:
    """Of each donor the split system that is nearest to it, by the donor: the widest link that costs at most
    `WORTH` times what the donor does, where that is cheapest; if none is so cheap, the fastest cut.

    A donor without a cut within the constraints is left out.
    """
    found: dict[int, list[_Cut]] = defaultdict(list)
    for cut in _fastest_cuts(space, "split", donors, predictor, constraints):
        found[cut.donor].append(cut)
    nearest = {}
    for i, cuts in found.items():
        cheap = [cut for cut in cuts if cut.total_us <= WORTH * donors[i].total_us]
        widest = max(cheap, key=lambda cut: (cut.architecture.reduce_ratio, -cut.total_us), default=cuts[0])
        nearest[donors[i].architecture] = widest.architecture
    return nearest


@dataclass(frozen=True)
class _Cut:
    """A donor's layers, cut elsewhere."""

    donor: int
    architecture: Architecture
    key: bytes
    total_us: float


def _fastest_cuts(
    space: SearchSpace,
    placement: Placement,
    donors: Sequence[Candidate],
    predictor: Predictor,
    constraints: Constraints,
) -> list[_Cut]:
    """Of each donor the fastest cut within the constraints at each width of the link, by rising latency."""
    made = {a: i for i, donor in enumerate(donors) for a in cut_elsewhere(space, donor.architecture, placement)}
    if not made:
        return []
    architectures, donor_of = list(made), list(made.values())
    genes = Encoding(space).encode_all(architectures)
    prediction = predictor.predict(genes)
    allowed = np.all(constraints.violations(prediction) <= 0, axis=1)
    total_us = np.asarray(prediction.total_us, dtype=np.float64)
    fastest: dict[tuple[float, int], _Cut] = {}
    for row in np.argsort(total_us, kind="stable").tolist():
        if allowed[row]:
            cut = _Cut(donor_of[row], architectures[row], row_key(genes[row]), float(total_us[row]))
            fastest.setdefault((cut.architecture.reduce_ratio, cut.donor), cut)
    return list(fastest.values())
