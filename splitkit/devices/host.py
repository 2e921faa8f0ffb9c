"""This machine's processor, with a stated number of pinned threads."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from splitkit.compiler.host_caches import host_caches
from splitkit.compiler.target import CompileTarget
from splitkit.devices.cpu_info import cpu_description
from splitkit.devices.pinning import choose_cpus, pinned
from splitkit.devices.protocol import Unit
from splitkit.devices.timing import Timing
from splitkit.errors import DeviceError
from splitkit.exporters.protocol import Artifact, Exporter, KernelExporter, Session
from splitkit.exporters.registry import get_exporter
from splitkit.profiles.schema import DeviceProfile

WARM_UP_RUNS = 10
"""Runs thrown away first: they touch the pages, fill the caches and bring the clock up."""


class HostDevice:
    """Times in this process, the calling thread pinned meanwhile, sessions loaded under that pinning.

    With `time_scale` other than 1 it emulates a slower core: real runs on this machine, every time multiplied.
    """

    unit: Unit = "us"
    real_time = True
    here = True
    kernel_model = None
    pool = None

    def __init__(self, profile: DeviceProfile) -> None:
        self.profile = profile
        self._cpus = choose_cpus(profile.threads, profile.cpus, profile.name)

    @property
    def cache_bytes(self) -> int:
        """Second-level caches of the cores that are used."""
        return self.profile.threads * host_caches()[1]

    @property
    def emulated(self) -> bool:
        """Whether times are scaled."""
        return self.profile.time_scale != 1.0

    def label(self) -> str:
        """`measured`, or `measured x24 (emulated slower core)`."""
        scale = self.profile.time_scale
        if scale == 1.0:
            return "measured"
        return f"measured x{scale:g} (emulated {'slower' if scale > 1 else 'faster'} core)"

    def fingerprint(self) -> str:
        """Processor, features, threads, pinning, scale. Processor numbers only where the profile names them."""
        profile = self.profile
        cpus = "any" if profile.cpus is None else ",".join(str(cpu) for cpu in profile.cpus)
        scale = "" if profile.time_scale == 1.0 else f"; x{profile.time_scale:g}"
        return f"host: {cpu_description()}; threads {profile.threads}; pinned to {cpus}{scale}"

    def target(self) -> CompileTarget:
        """The profile's target and threads."""
        return CompileTarget(dict(self.profile.target), self.profile.threads)

    def time_graph(self, artifact: Artifact, repeats: int = 50) -> Timing:
        """As `Device.time_graph`, after 10 runs of warm-up."""
        with self._measuring(artifact) as exporter:
            session = exporter.load(artifact)
            session.time_ns(WARM_UP_RUNS)
            times_ns = session.time_ns(repeats)
        return Timing(times_ns.astype(np.float64) * (self.profile.us_per_unit() / 1e3))

    def time_kernels(self, artifact: Artifact, repeats: int = 20) -> NDArray[np.float64]:
        """As `Device.time_kernels`, after 10 runs of warm-up."""
        with self._measuring(artifact) as exporter:
            if not isinstance(exporter, KernelExporter):
                raise DeviceError(f"exporter {artifact.exporter}: cannot time single kernels")
            session = exporter.load(artifact)
            session.kernel_times_ns(WARM_UP_RUNS)
            times_ns = session.kernel_times_ns(repeats)
        return np.asarray(times_ns, dtype=np.float64) * (self.profile.us_per_unit() / 1e3)

    def open(self, artifact: Artifact) -> Session:
        """Load in this process, pinned to nothing."""
        return get_exporter(artifact.exporter).load(artifact)

    @contextmanager
    def _measuring(self, artifact: Artifact) -> Iterator[Exporter]:
        if artifact.target.threads != self.profile.threads:
            raise DeviceError(
                f"{artifact.path}: compiled for {artifact.target.threads} threads, "
                f"device {self.profile.name} has {self.profile.threads}",
                "compile it for this device's target",
            )
        with pinned(self._cpus):
            yield get_exporter(artifact.exporter)
