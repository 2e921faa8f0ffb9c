"""Random search: as many scores as a search had, spent on architectures drawn evenly from the space.

The yardstick of architecture search (Li and Talwalkar, UAI 2019).
"""

from collections.abc import Mapping

import numpy as np

from splitkit.search.config import Constraints
from splitkit.search.protocol import Predictor
from splitkit.space import Architecture, Sampler, SearchSpace
from splitkit.space.encoding import Encoding
from splitkit.space.search_space import Placement

ATTEMPTS = 50
"""Times as many draws as are wanted, before it is taken that few architectures are within the limits."""


def draw(
    space: SearchSpace, predictor: Predictor, constraints: Constraints, counts: Mapping[Placement, int], seed: int
) -> dict[Placement, list[Architecture]]:
    """Distinct architectures within the constraints, so many of each system; fewer where there are no more."""
    found: dict[Placement, list[Architecture]] = {}
    for number, (placement, count) in enumerate(counts.items()):
        sampler = Sampler(space.restricted(placement), np.random.default_rng([seed, number]))
        drawn: dict[Architecture, None] = {}
        for _ in range(ATTEMPTS):
            if len(drawn) >= count:
                break
            some = [sampler.uniform() for _ in range(count)]
            violations = constraints.violations(predictor.predict(Encoding(space).encode_all(some)))
            within = np.all(violations <= 0, axis=1)
            drawn |= dict.fromkeys(a for a, fits in zip(some, within, strict=True) if fits)
        found[placement] = list(drawn)[:count]
    return found
