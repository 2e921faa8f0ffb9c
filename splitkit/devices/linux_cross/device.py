"""Device kind `linux-cross`: right values from an emulator; times from a roofline, or from the emulator if asked.

The profile's `target.mtriple` names the processor. A profile with analytical numbers (`macs_per_s`,
`bandwidth_bytes_per_s`, `kernel_overhead_us`) is timed by them. `options.emulated_timing = true` takes the clock of
QEMU's user mode instead, which says how long the emulation took and nothing of the device; every figure then says so.
"""

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from splitkit.compiler.target import CompileTarget
from splitkit.devices.analytical import AnalyticalDevice
from splitkit.devices.cpu_info import cpu_description
from splitkit.devices.linux_cross.architecture import Architecture, architecture_of, compiler_for, emulator_for
from splitkit.devices.linux_cross.build import EXECUTABLE, build_runner
from splitkit.devices.linux_cross.session import RunnerSession
from splitkit.devices.options import read_options
from splitkit.devices.protocol import Device, KernelModel, Unit
from splitkit.devices.timing import Timing
from splitkit.errors import ConfigError, DeviceError
from splitkit.exporters.baremetal.names import network_name
from splitkit.exporters.protocol import Artifact, Session
from splitkit.profiles.schema import ANALYTICAL_FIELDS, DeviceProfile
from splitkit.space.units import PRESENT

EMULATED = "emulated (QEMU user mode), not a device's latency"


class LinuxCrossOptions(BaseModel):
    """What a profile may say under `options`.

    Attributes:
        qemu_cpu: QEMU's name of the processor (`cortex-a72`); left out, QEMU's default.
        emulated_timing: time the emulation instead of using the analytical numbers.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    qemu_cpu: str | None = None
    emulated_timing: bool = False


def linux_cross_device(profile: DeviceProfile) -> Device:
    """The device of a profile of this kind: modelled by a roofline, or timed where its programs run.

    Raises:
        ConfigError: the target is no Linux triple, an option is unknown, or there is nothing to take a time from.
    """
    options = read_options(profile, LinuxCrossOptions)
    runner = Runner(profile, architecture_of(profile.target, profile.name), options)
    if options.emulated_timing:
        return EmulatedLinuxDevice(profile, runner)
    missing = [field for field in ANALYTICAL_FIELDS if getattr(profile, field) in (None, {})]
    if missing or "float32" not in profile.macs_per_s:
        raise ConfigError(
            f"device {profile.name}: {missing[0] if missing else 'macs_per_s.float32'}: is missing",
            f"kind {profile.kind} needs {', '.join(ANALYTICAL_FIELDS)}, or options.emulated_timing = true",
        )
    return ModelledLinuxDevice(profile, runner)


class Runner:
    """Opens artifacts of one architecture here."""

    def __init__(self, profile: DeviceProfile, architecture: Architecture, options: LinuxCrossOptions) -> None:
        self.profile = profile
        self.architecture = architecture
        self._options = options

    def open(self, artifact: Artifact) -> RunnerSession:
        """A session on the artifact's executable, which the first call builds and leaves inside the artifact.

        So a bundle, whose halves are opened to be proved before its files are listed, carries what its devices run.

        Raises:
            DeviceError: the artifact was compiled for another target, or not as C.
            ToolchainError: no compiler, no emulator, or the sources do not build.
        """
        if artifact.target.key() != self.target().key():
            raise DeviceError(
                f"{artifact.path}: compiled for {artifact.target.spec.get('mtriple', artifact.target.spec['kind'])} "
                f"({artifact.target.spec.get('mcpu', 'any')}), device {self.profile.name} is another target",
                "compile it for this device",
            )
        if network_name(artifact) is None:
            raise DeviceError(
                f"{artifact.path}: exporter {artifact.exporter} wrote no C sources",
                f'device {self.profile.name}: set exporter = "baremetal"',
            )
        others = [tensor.name for tensor in artifact.inputs[1:] if tensor.name != PRESENT]
        if others or len(artifact.outputs) != 1:
            raise DeviceError(
                f"{artifact.path}: {len(artifact.inputs)} inputs and {len(artifact.outputs)} outputs, "
                f"programs of device {self.profile.name} take one and give one",
                "cut where one tensor crosses",
            )
        emulator = emulator_for(self.architecture, self._options.qemu_cpu)
        executable = artifact.path / EXECUTABLE
        if not os.path.lexists(executable):
            build_runner(artifact, compiler_for(self.architecture), executable)
        return RunnerSession(artifact, _runnable(artifact.file(EXECUTABLE)), emulator)

    def target(self) -> CompileTarget:
        """The profile's target and threads."""
        return CompileTarget(dict(self.profile.target), self.profile.threads)


class ModelledLinuxDevice:
    """Times come from the profile's roofline, values from the executable."""

    unit: Unit = "us"
    real_time = False  # the model alone knows how long it takes
    emulated = True
    here = False
    cache_bytes = 0
    pool = None

    def __init__(self, profile: DeviceProfile, runner: Runner) -> None:
        self.profile = profile
        self._runner = runner
        model = AnalyticalDevice(profile)
        self.kernel_model: KernelModel = model
        self.label, self.fingerprint, self.target = model.label, model.fingerprint, model.target
        self.time_graph, self.time_kernels = model.time_graph, model.time_kernels

    def open(self, artifact: Artifact) -> Session:
        """As `Device.open`, under QEMU's user mode where this machine is another processor."""
        return self._runner.open(artifact)


class EmulatedLinuxDevice:
    """Times come from where the executable runs: QEMU's user mode, or this machine if it is of that architecture."""

    unit: Unit = "us"
    real_time = False  # a pipe and another process lie between: only the executable's own clock counts
    here = False
    cache_bytes = 0
    kernel_model = None
    pool = None

    def __init__(self, profile: DeviceProfile, runner: Runner) -> None:
        self.profile = profile
        self._runner = runner
        self._native = runner.architecture.native

    @property
    def emulated(self) -> bool:
        """Whether QEMU runs it, or times are scaled."""
        return not self._native or self.profile.time_scale != 1.0

    def label(self) -> str:
        """`measured` on the architecture's own hardware, otherwise a warning; with the scale if there is one."""
        scale = "" if self.profile.time_scale == 1.0 else f" x{self.profile.time_scale:g}"
        return ("measured" if self._native else EMULATED) + scale

    def fingerprint(self) -> str:
        """This machine, the architecture, and the scale."""
        how = "native" if self._native else "qemu-user"
        scale = "" if self.profile.time_scale == 1.0 else f"; x{self.profile.time_scale:g}"
        return f"linux-cross: {self._runner.architecture.name} {how} on {cpu_description()}{scale}"

    def target(self) -> CompileTarget:
        """The profile's target and threads."""
        return self._runner.target()

    def time_graph(self, artifact: Artifact, repeats: int = 50) -> Timing:
        """As `Device.time_graph`; the executable warms up by itself."""
        times_ns = self._runner.open(artifact).time_ns(repeats).astype(np.float64)
        return Timing(times_ns * (self.profile.us_per_unit() / 1e3))

    def time_kernels(self, artifact: Artifact, repeats: int = 20) -> NDArray[np.float64]:
        """As `Device.time_kernels`."""
        return self._runner.open(artifact).kernel_times_ns(repeats) * (self.profile.us_per_unit() / 1e3)

    def open(self, artifact: Artifact) -> Session:
        """As `Device.open`, under QEMU's user mode where this machine is another processor."""
        return self._runner.open(artifact)


def _runnable(executable: Path) -> Path:
    """The executable, with the permission that archives and downloads tend to lose."""
    if not executable.stat().st_mode & 0o100:
        executable.chmod(0o755)
    return executable
