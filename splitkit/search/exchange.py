"""What one system's search found, offered to the others: the same network, cut elsewhere.

A network that is good on the sensor alone is worth trying on the aggregator, and cut at every position between: with a
cut just ahead of its head it costs about what it costs uncut. So no system can be left far behind another one for
not having met its networks.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
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
    cuts: "Cuts", placement: Placement, donors: Sequence[Candidate], seen: set[bytes], count: int
) -> list[Architecture]:
    """Up to `count` architectures of `placement`, made of other systems' networks and not seen before there.

    Of each donor the fastest cut at each width of the link is considered, since how much of a feature can be left out
    is for the scores to say. In each width those are taken that nothing beats, if each were as good as its donor.

    Args:
        donors: candidates of any system.
        seen: keys of the gene vectors that this system has evaluated already.
    """
    by_width: dict[float, list[tuple[Candidate, _Cut]]] = defaultdict(list)
    for donor, cut in cuts.fastest(placement, donors):
        if cut.key not in seen:
            by_width[cut.architecture.reduce_ratio].append((donor, cut))
    picked = []
    for ratio in sorted(by_width, reverse=True):
        offered = by_width[ratio]
        quality = np.array([donor.score.log_likelihood for donor, _ in offered])
        total_us = np.array([cut.total_us for _, cut in offered])
        front = pareto_front(quality, total_us)
        chosen = front[spread(total_us[front], -(-count // len(by_width)))]
        picked.append([offered[i][1].architecture for i in chosen])
    in_turn = [architecture for architecture in chain.from_iterable(zip_longest(*picked)) if architecture is not None]
    return in_turn[:count]


def copies(cuts: "Cuts", donors: Sequence[Candidate]) -> dict[Architecture, Architecture]:
    """Of each donor the split system that is nearest to it, by the donor: the widest link that costs at most
    `WORTH` times what the donor does, where that is cheapest; if none is so cheap, the fastest cut.

    A donor without a cut within the constraints is left out.
    """
    found: dict[Architecture, list[_Cut]] = defaultdict(list)
    for donor, cut in cuts.fastest("split", donors):
        found[donor.architecture].append(cut)
    nearest = {}
    for donor in donors:
        if fastest := found[donor.architecture]:
            cheap = [cut for cut in fastest if cut.total_us <= WORTH * donor.total_us]
            widest = max(cheap, key=lambda cut: (cut.architecture.reduce_ratio, -cut.total_us), default=fastest[0])
            nearest[donor.architecture] = widest.architecture
    return nearest


@dataclass(frozen=True)
class _Cut:
    """A network cut elsewhere: the key of its gene vector, and its latency."""

    architecture: Architecture
    key: bytes
    total_us: float


@dataclass(frozen=True)
class Cuts:
    """Networks cut elsewhere, as one predictor sees them, within the constraints.

    Donors stay from generation to generation, so each is cut and predicted once.
    """

    space: SearchSpace
    predictor: Predictor
    constraints: Constraints
    _known: dict[tuple[Placement, Architecture], list[_Cut]] = field(default_factory=dict)

    def fastest(self, placement: Placement, donors: Sequence[Candidate]) -> list[tuple[Candidate, _Cut]]:
        """Of each donor the fastest cut at each width of the link, by rising latency."""
        layers = [self._layers(placement, donor.architecture) for donor in donors]
        self._learn(placement, layers)
        made: dict[bytes, tuple[Candidate, _Cut]] = {}
        for donor, of in zip(donors, layers, strict=True):
            made |= {cut.key: (donor, cut) for cut in self._known[placement, of]}
        fastest: dict[tuple[float, Architecture], tuple[Candidate, _Cut]] = {}
        for donor, cut in sorted(made.values(), key=lambda pair: pair[1].total_us):
            fastest.setdefault((cut.architecture.reduce_ratio, donor.architecture), (donor, cut))
        return list(fastest.values())

    def _layers(self, placement: Placement, architecture: Architecture) -> Architecture:
        """The same for networks whose cuts are the same: where a donor itself is cut does not matter to a split."""
        return next(cut_elsewhere(self.space, architecture, "sensor")) if placement == "split" else architecture

    def _learn(self, placement: Placement, architectures: Sequence[Architecture]) -> None:
        new = [a for a in dict.fromkeys(architectures) if (placement, a) not in self._known]
        made = [(donor, a) for donor in new for a in dict.fromkeys(cut_elsewhere(self.space, donor, placement))]
        self._known.update({(placement, donor): [] for donor in new})
        if not made:
            return
        genes = Encoding(self.space).encode_all([a for _, a in made])
        prediction = self.predictor.predict(genes)
        allowed = np.all(self.constraints.violations(prediction) <= 0, axis=1)
        for (donor, a), row, us, fits in zip(made, genes, prediction.total_us.tolist(), allowed, strict=True):
            if fits:
                self._known[placement, donor].append(_Cut(a, row_key(row), us))
