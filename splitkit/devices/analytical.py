"""Hardware that is not here, as a roofline over the compiler's kernels.

A kernel takes its start-up cost, plus whichever is longer: its multiply-accumulates at the peak rate, or the bytes it
reads and writes (weights included) at the memory bandwidth. Source of the model: Williams, Waterman, Patterson,
"Roofline", CACM 52(4), 2009. It is an upper bound on speed: real kernels reach a part of the peak, which a profile's
`macs_per_s` should already have taken into account.
"""

import hashlib
import json
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from splitkit.compiler.kernel import Kernel
from splitkit.compiler.target import CompileTarget
from splitkit.devices.protocol import KernelModel, Unit
from splitkit.devices.timing import Timing
from splitkit.errors import ConfigError
from splitkit.exporters.protocol import Artifact, Session
from splitkit.exporters.registry import get_exporter
from splitkit.profiles.schema import ANALYTICAL_FIELDS, DeviceProfile

COMPUTE_DTYPE = "float32"


class AnalyticalDevice:
    """Times nothing: it adds up a roofline of the artifact's kernels. Every sample of a timing is equal."""

    unit: Unit = "us"
    real_time = False  # the model alone knows how long it takes
    emulated = True
    here = False
    cache_bytes = 0
    pool = None

    def __init__(self, profile: DeviceProfile) -> None:
        self.profile = profile
        if profile.bandwidth_bytes_per_s is None or profile.kernel_overhead_us is None:
            raise ConfigError(f"device {profile.name}: an analytical device needs {', '.join(ANALYTICAL_FIELDS)}")
        self._macs_per_us = profile.macs_per_s[COMPUTE_DTYPE] / 1e6
        self._bytes_per_us = profile.bandwidth_bytes_per_s / 1e6
        self._overhead_us = profile.kernel_overhead_us

    @property
    def kernel_model(self) -> KernelModel:
        """The roofline."""
        return self

    def label(self) -> str:
        """`analytical`, with the scale if there is one."""
        scale = self.profile.time_scale
        return "analytical" if scale == 1.0 else f"analytical x{scale:g}"

    def fingerprint(self) -> str:
        """A hash of the numbers that decide a time; equal for profiles that predict the same."""
        fields = (*ANALYTICAL_FIELDS, "time_scale")
        numbers = json.dumps({field: self.profile.model_dump()[field] for field in fields}, sort_keys=True)
        return f"analytical: {hashlib.sha256(numbers.encode()).hexdigest()[:12]}"

    def target(self) -> CompileTarget:
        """The profile's target and threads: it decides how operators fuse into kernels."""
        return CompileTarget(dict(self.profile.target), self.profile.threads)

    def kernel_times(self, kernels: Sequence[Kernel]) -> NDArray[np.float64]:
        """Roofline of each kernel, shape (kernels,)."""
        macs = np.array([kernel.macs for kernel in kernels], dtype=np.float64)
        moved = np.array([k.read_bytes + k.write_bytes + k.weight_bytes for k in kernels], dtype=np.float64)
        times = self._overhead_us + np.maximum(macs / self._macs_per_us, moved / self._bytes_per_us)
        return np.asarray(times * self.profile.us_per_unit())

    def time_graph(self, artifact: Artifact, repeats: int = 50) -> Timing:
        """The sum over the artifact's kernels, `repeats` times."""
        return Timing(np.full(repeats, self.kernel_times(artifact.kernels).sum()))

    def time_kernels(self, artifact: Artifact, repeats: int = 20) -> NDArray[np.float64]:
        """The roofline of each kernel, `repeats` equal rows."""
        return np.tile(self.kernel_times(artifact.kernels), (repeats, 1))

    def open(self, artifact: Artifact) -> Session:
        """Run on this machine, if the artifact was compiled for it: right values, meaningless speed."""
        return get_exporter(artifact.exporter).load(artifact)
