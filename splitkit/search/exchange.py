"""What one system's search found, offered to the others: the same network, cut elsewhere.

A network that is good on the sensor alone is worth trying on the aggregator, and cut at every position between: with a
cut just ahead of its head it costs about what it costs uncut. So no system can be left far behind another one for
not having met its networks.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
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
    made = {a: i for i, donor in enumerate(donors) for a in cut_elsewhere(space, donor.architecture, placement)}
    if not made:
        return []
    architectures, donor_of = list(made), list(made.values())
    genes = Encoding(space).encode_all(architectures)
    prediction = predictor.predict(genes)
    allowed = np.all(constraints.violations(prediction) <= 0, axis=1)
    total_us = np.asarray(prediction.total_us, dtype=np.float64)
    fastest: dict[tuple[float, int], int] = {}
    for row in np.argsort(total_us, kind="stable").tolist():
        if allowed[row]:
            fastest.setdefault((architectures[row].reduce_ratio, donor_of[row]), row)
    by_width: dict[float, list[int]] = defaultdict(list)
    for (ratio, _), row in fastest.items():
        if row_key(genes[row]) not in seen:
            by_width[ratio].append(row)
    picked = []
    for ratio in sorted(by_width, reverse=True):
        rows = np.array(by_width[ratio])
        quality = np.array([donors[donor_of[row]].score.log_likelihood for row in rows])
        front = rows[pareto_front(quality, total_us[rows])]
        picked.append(front[spread(total_us[front], -(-count // len(by_width)))].tolist())
    in_turn = [row for row in chain.from_iterable(zip_longest(*picked)) if row is not None]
    return [architectures[row] for row in in_turn[:count]]
