"""What the latency table holds, as objects: conditions, times of kernels and of whole graphs, times of the hop."""

from dataclasses import dataclass
from typing import Literal

from splitkit.devices.protocol import Unit

CacheMode = Literal["rotation", "resident", "in_situ", "in_situ_8", "in_situ_32"]
"""How a kernel met the caches: timed alone in a library run in rotation; alone, staying in the core's own cache from
run to run; or where it stands in a network, of any size or of some size (`residency`)."""


@dataclass(frozen=True)
class Conditions:
    """What a time depends on besides the kernel. Equal conditions, comparable rows.

    `target` is `CompileTarget.key()`, which holds the number of threads. `unit` is what the rows are counted in.
    """

    fingerprint: str
    exporter: str
    version: str
    target: str
    cache_mode: CacheMode = "rotation"
    unit: Unit = "us"


@dataclass(frozen=True)
class KernelTime:
    """One row of the table, in its condition's unit: the undisturbed time, its variance, and how it was got."""

    kernel: str
    value: float
    variance: float
    samples: int
    drift: float = 1.0


@dataclass(frozen=True)
class GraphTime:
    """A whole graph, in its condition's unit: the sum of its kernels where they stand, and end to end."""

    digest: str
    kernels: int
    kernel_sum: float
    total: float
    variance: float


@dataclass(frozen=True)
class HopConditions:
    """What the runtime's own time depends on: the fingerprints of both unscaled devices, and how they are connected."""

    sensor: str
    aggregator: str
    views: int
    link: str
    runtime: str
    placement: str


@dataclass(frozen=True)
class HopTime:
    """What the runtime adds to a frame of `payload_bytes` per view, to the link's and to the aggregator's time."""

    payload_bytes: int
    link_us: float
    aggregator_us: float
