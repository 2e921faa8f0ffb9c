"""Where do a network's weights come from, every time it runs: the core's own cache, the next one, or memory?

One kernel takes up to half as long again in a network that is too large to stay in the core's own cache (with 2 MiB
of second level: 10 to 20 us for each MB of its weights), and the change is abrupt: reading in a circle through a little
more than a cache holds misses nearly always. In larger networks the next cache gives way too, but by and by, since it
is shared, and how much of it one gets nobody says: there a MB costs another 35 us in networks about 8 times as large as
the core's own cache, 53 us in those 32 times as large (medians of one table of `mobile`). So a table knows a kernel in
four states, and a prediction lies in or between them as the network's size does.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from splitkit.compiler.kernel import Kernel
from splitkit.latency.rows import CacheMode

FloatArray = NDArray[np.float64]

STATES: tuple[CacheMode, ...] = ("resident", "in_situ", "in_situ_8", "in_situ_32")
"""In the cache; up to 2, about 8, and from 32 times as large as it."""

IN_SITU = STATES.index("in_situ")
"""The state of every network where no cache is known."""

EDGE = 0.1
"""Between so much less and so much more than the cache holds a network is partly in the first two states."""

_FILLS, _PLACES = np.log([1 / (1 + EDGE), 1 + EDGE, 2, 8, 32]), [0.0, 1.0, 1.0, 2.0, 3.0]


def footprint_bytes(kernels: Sequence[Kernel]) -> int:
    """What one run of a network touches: all weights, and the most activations that one kernel reads and writes."""
    weights = sum(kernel.weight_bytes for kernel in kernels)
    return weights + max((kernel.read_bytes + kernel.write_bytes for kernel in kernels), default=0)


def state_of(footprint: ArrayLike, cache_bytes: int) -> FloatArray:
    """Where in `STATES` networks are, a number of the same shape: 1.25 is three parts the second, one the third."""
    if not cache_bytes:
        return np.full(np.shape(footprint), float(IN_SITU))
    filled = np.asarray(footprint, dtype=np.float64) / cache_bytes
    return np.asarray(np.interp(np.log(np.maximum(filled, 1e-9)), _FILLS, _PLACES))


def mode_of(kernels: Sequence[Kernel], cache_bytes: int) -> CacheMode:
    """The state nearest to a whole network's, in which its kernels count as timed."""
    return STATES[round(float(state_of(footprint_bytes(kernels), cache_bytes)))]
