"""Does a network stay in the core's own cache from one run to the next, or do its weights come from beyond, every time?

One kernel takes up to half as long again in a network that is too large to stay (on a core with 2 MiB of second-level
cache: 10 to 20 us for each MB of its weights), and the change is abrupt: reading in a circle through a little more than
a cache holds misses nearly always. So a table knows a kernel in two states, and a prediction takes the one that the
network as a whole is in.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from splitkit.devices import Device
from splitkit.exporters.protocol import Kernel
from splitkit.latency.store import CacheMode

FloatArray = NDArray[np.float64]

EDGE = 0.1
"""Between so much less and so much more than the cache holds a network is partly in either state."""


@runtime_checkable
class CachedDevice(Protocol):
    """A device whose cores keep small networks in caches of their own."""

    @property
    def cache_bytes(self) -> int:
        """What the cores' own last caches hold together."""
        ...


def cache_of(device: Device) -> int:
    """What stays close to the cores between two runs, in bytes; 0 where size makes no difference, or none known."""
    return device.cache_bytes if isinstance(device, CachedDevice) else 0


def footprint_bytes(kernels: Sequence[Kernel]) -> int:
    """What one run of a network touches: all weights, and the most activations that one kernel reads and writes."""
    weights = sum(kernel.weight_bytes for kernel in kernels)
    return weights + max((kernel.read_bytes + kernel.write_bytes for kernel in kernels), default=0)


def resident_share(footprint: ArrayLike, cache_bytes: int) -> FloatArray:
    """1 for networks that stay in the cache, 0 for those that do not, in between at the edge."""
    filled = np.asarray(footprint, dtype=np.float64) / max(cache_bytes, 1)
    return np.clip((1 + EDGE - filled) / (2 * EDGE), 0.0, 1.0)


def mode_of(kernels: Sequence[Kernel], cache_bytes: int) -> CacheMode:
    """The state in which a whole network's kernels were timed where they stand."""
    return "resident" if footprint_bytes(kernels) <= cache_bytes else "in_situ"
