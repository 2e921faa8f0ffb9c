"""A microcontroller board under QEMU: right values, and times estimated from counted instructions.

Under `-icount` every instruction advances the board's clock by the same amount, so that a counter on the board counts
instructions, the same number in every run. A profile's CPI and clock make an estimated time of them; what flash wait
states, caches, dual issue and the beats of vector instructions do on the part is not in it.
"""

import hashlib
from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

from splitkit.compiler.target import CompileTarget
from splitkit.devices.options import read_options
from splitkit.devices.protocol import Unit
from splitkit.devices.qemu_system.board import Board
from splitkit.devices.qemu_system.build import Firmware, build_firmware
from splitkit.devices.qemu_system.counts import Counts
from splitkit.devices.qemu_system.emulator import Emulator
from splitkit.devices.qemu_system.session import FirmwareSession, profile
from splitkit.devices.timing import Timing
from splitkit.devices.toolchain import find_program, program_version
from splitkit.errors import ConfigError, DeviceError
from splitkit.exporters.baremetal.toolchain import find_compiler
from splitkit.exporters.protocol import Artifact, Session
from splitkit.profiles.schema import DeviceProfile

MOST_FIRMWARES = 4
"""Built firmwares that are kept: a network is usually counted and then run."""


class QemuSystemDevice:
    """Builds a firmware around every artifact and runs it on the profile's board.

    Raises:
        ConfigError: the profile has no clock, or its options do not describe a board.
    """

    unit: Unit = "instructions"
    real_time = False  # emulation takes as long as it takes
    emulated = True
    here = False
    cache_bytes = 0
    kernel_model = None
    pool = None

    def __init__(self, profile: DeviceProfile) -> None:
        self.profile = profile
        self.board = read_options(profile, Board)
        if profile.clock_hz is None:
            raise ConfigError(
                f"device {profile.name}: clock_hz: is missing",
                "kind qemu-system counts instructions: add clock_hz and cpi",
            )
        self._counts: dict[str, Counts] = {}
        self._firmwares: OrderedDict[str, Firmware] = OrderedDict()

    def label(self) -> str:
        """`instructions (QEMU -icount)` where nothing makes a time of them, else how the time was estimated."""
        if self.profile.is_unscaled:
            return "instructions (QEMU -icount)"
        assumed = " (CPI assumed)" if "assum" in self.profile.sources.get("cpi", "assumed") else ""
        scale = "" if self.profile.time_scale == 1.0 else f" x{self.profile.time_scale:g}"
        return f"estimated from instruction counts{assumed}{scale}"

    def fingerprint(self) -> str:
        """Board, emulator and compiler; with clock and CPI unless the profile is unscaled."""
        board = self.board
        qemu = program_version(find_program(board.emulator))
        compiler = program_version(find_compiler(self.profile.target))
        time = "" if self.profile.is_unscaled else f"; {self._time_key()}"
        return f"qemu-system: {board.machine} {board.cpu}; {qemu}; {compiler}{time}"

    def _time_key(self) -> str:
        cpi = " ".join(f"{family} {value:g}" for family, value in sorted(self.profile.cpi.items()))
        return f"{self.profile.clock_hz:g} Hz, CPI {cpi}, x{self.profile.time_scale:g}"

    def target(self) -> CompileTarget:
        """The profile's target and threads."""
        return CompileTarget(dict(self.profile.target), self.profile.threads)

    def count(self, artifact: Artifact) -> Counts:
        """Instructions of a run on fixed inputs, and the stack it takes; each artifact is run once.

        Raises:
            DeviceError: the artifact is for another target or too large, or the firmware failed.
            ToolchainError: compiler or emulator is missing.
        """
        digest = self._digest(artifact)
        if digest not in self._counts:
            emulator = self._start(artifact, digest)
            self._counts[digest] = Counts.read(profile(artifact, emulator), self.board, self.profile.name)
            emulator.close()
        return self._counts[digest]

    def time_graph(self, artifact: Artifact, repeats: int = 50) -> Timing:
        """As `Device.time_graph`; all samples are equal. What lies between the kernels takes the default CPI."""
        return Timing(np.full(repeats, self._graph_time(artifact)))

    def time_kernels(self, artifact: Artifact, repeats: int = 20) -> NDArray[np.float64]:
        """As `Device.time_kernels`; all rows are equal."""
        return np.tile(self._kernel_times(artifact), (repeats, 1))

    def open(self, artifact: Artifact) -> Session:
        """One emulator process that runs every image; it ends with the session."""
        time = self._graph_time(artifact)
        return FirmwareSession(artifact, self._start(artifact, self._digest(artifact)), time)

    def _kernel_times(self, artifact: Artifact) -> NDArray[np.float64]:
        us_per_unit = np.array([self.profile.us_per_unit(kernel.family) for kernel in artifact.kernels])
        return np.asarray(self.count(artifact).kernels * us_per_unit, dtype=np.float64)

    def _graph_time(self, artifact: Artifact) -> float:
        counts = self.count(artifact)
        between = counts.graph - int(counts.kernels.sum())
        return float(self._kernel_times(artifact).sum() + between * self.profile.us_per_unit())

    def _start(self, artifact: Artifact, digest: str) -> Emulator:
        find_program(self.board.emulator)  # a missing emulator is better found before building
        if digest not in self._firmwares:
            if artifact.target.key() != self.target().key():
                raise DeviceError(
                    f"{artifact.path}: compiled for {_words(artifact.target)}, device {self.profile.name} is "
                    f"{_words(self.target())}",
                    "compile it for this device's target",
                )
            self._firmwares[digest] = build_firmware(artifact, self.board)
            if len(self._firmwares) > MOST_FIRMWARES:
                self._firmwares.popitem(last=False)
        return Emulator(self._firmwares[digest], self.board, self.profile.name)

    @staticmethod
    def _digest(artifact: Artifact) -> str:
        """Of everything that goes into the firmware: a directory may be compiled into twice."""
        digest = hashlib.sha256(artifact.target.key().encode())
        for file in sorted(artifact.path.iterdir()):
            if file.suffix in {".c", ".h", ".o", ".bin", ".S"}:
                digest.update(file.name.encode() + file.read_bytes())
        return digest.hexdigest()[:24]


def _words(target: CompileTarget) -> str:
    spec = target.spec
    return " ".join(str(spec[name]) for name in ("mtriple", "mcpu") if name in spec) or str(spec.get("kind"))
