"""Systems and measurements the latency tests share."""

import numpy as np

from splitkit.compiler.kernel import Kernel
from splitkit.latency.measurement import GraphTiming, Measurement, SideMeasurement
from splitkit.profiles import load_device, load_link, load_system
from splitkit.profiles.schema import System
from splitkit.space import Architecture, Sampler, SearchSpace


def host_system() -> System:
    """This machine on both sides; the sensor is emulated, three times slower."""
    host = load_device("host")
    sensor = host.model_copy(update={"name": "slow", "time_scale": 3.0})
    return System(name="hosts", sensor=sensor, link=load_link("spi"), aggregator=host)


def analytical_system() -> System:
    """The headset: every time comes from a roofline."""
    return load_system("hmd")


def drawn(space: SearchSpace, count: int, seed: int = 0) -> list[Architecture]:
    """Distinct architectures, uniformly drawn."""
    sampler = Sampler(space, np.random.default_rng(seed))
    found: dict[Architecture, None] = {}
    while len(found) < count:
        found[sampler.uniform()] = None
    return list(found)


def timing(kernels: list[Kernel], times: list[float], overhead: float = 0.0) -> GraphTiming:
    """As if timed without noise."""
    return GraphTiming(sum(times) + overhead, 0.0, tuple(kernels), tuple(times), (0.0,) * len(times))


def side_measurement(kernels: list[Kernel], us: list[float], overhead_us: float = 0.0) -> SideMeasurement:
    """As if measured without noise."""
    return SideMeasurement.of(timing(kernels, us, overhead_us), "synthetic")


def measurement(architecture: Architecture, aggregator: SideMeasurement) -> Measurement:
    """A candidate that runs on the aggregator only."""
    return Measurement(architecture, None, aggregator, 0.0, 0)
