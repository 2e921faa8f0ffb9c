"""What a device kind promises: say what to compile for, run it, time it."""

from collections.abc import Collection
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from splitkit.compiler.target import CompileTarget
from splitkit.devices.timing import Timing
from splitkit.exporters.protocol import Artifact, Session
from splitkit.profiles.schema import DeviceProfile

Unit = Literal["us", "instructions"]
"""What a device's rows are counted in. `DeviceProfile.us_per_unit` makes microseconds of either."""


@runtime_checkable
class Device(Protocol):
    """A piece of hardware, or a model of one, that times compiled graphs. Made from a profile: `Device(profile)`."""

    profile: DeviceProfile

    @property
    def unit(self) -> Unit:
        """What this hardware is measured in, before the profile makes microseconds of it.

        A device made from `profile.unscaled()` gives its timings in this unit, one "microsecond" each; those are the
        rows that the latency table keeps.
        """
        ...

    @property
    def real_time(self) -> bool:
        """Whether a session of `open` takes, here and now, the device's time over `time_scale`.

        Otherwise (a model, an emulator) `time_graph` alone says how long the device takes.
        """
        ...

    @property
    def emulated(self) -> bool:
        """Whether its figures are not those of the hardware it stands for."""
        ...

    def label(self) -> str:
        """How its figures must be labelled: `measured`, `measured x8 (emulated slower core)`, `analytical`."""
        ...

    def fingerprint(self) -> str:
        """The hardware and how it is used (threads, pinning, scale): the condition under which a time holds."""
        ...

    def target(self) -> CompileTarget:
        """What to compile for."""
        ...

    def time_graph(self, artifact: Artifact, repeats: int = 50) -> Timing:
        """Time whole runs of a compiled graph, warm, on staged inputs; `time_scale` applied.

        Raises:
            DeviceError: the device cannot run the artifact.
        """
        ...

    def time_kernels(self, artifact: Artifact, repeats: int = 20) -> NDArray[np.float64]:
        """Time each kernel where it stands; us, shape (repeats, kernels), `time_scale` applied, nothing rejected.

        Raises:
            DeviceError: the device cannot run the artifact, or its exporter cannot time single kernels.
        """
        ...

    def open(self, artifact: Artifact) -> Session:
        """A session that says what the graph computes. The one way to run an artifact: it need not be for this machine.

        Raises:
            BundleError: the artifact cannot be loaded.
            DeviceError: the device cannot run it, or failed.
            ToolchainError: what it takes to run it (an emulator, a compiler) is missing.
        """
        ...


@runtime_checkable
class BoardPool(Protocol):
    """A device that stands for any of several equal boards, each of which may hang, go away or time wrongly."""

    @property
    def agreement(self) -> float:
        """Relative deviation from the other boards beyond which a board's timings are not believed."""
        ...

    def boards(self) -> list[str]:
        """Names of the boards there are, busy or free.

        Raises:
            DeviceError: there are none.
        """
        ...

    def lease(self, avoid: Collection[str] = ()) -> str:
        """Take a free board, none of `avoid`, for what is timed from now on; returns its name.

        Raises:
            DeviceError: none is free in time, or it does not answer; the message names it.
        """
        ...

    def close(self) -> None:
        """Let the board go."""
        ...
