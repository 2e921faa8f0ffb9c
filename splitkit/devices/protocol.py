"""What a device kind promises: say what to compile for, run it, time it."""

from collections.abc import Collection, Sequence
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from splitkit.compiler.kernel import Kernel
from splitkit.compiler.target import CompileTarget
from splitkit.devices.timing import Timing
from splitkit.exporters.protocol import Artifact, Session
from splitkit.profiles.schema import DeviceProfile, UnscaledProfile

Unit = Literal["us", "instructions"]
"""What a device's rows are counted in. `DeviceProfile.us_per_unit` makes microseconds of either."""


@runtime_checkable
class Device(Protocol):
    """A piece of hardware, or a model of one, that times compiled graphs. Made from a profile: `Device(profile)`.

    Times are in microseconds as the profile has them; those of an `UnscaledDevice` are in the hardware's own `unit`.
    """

    @property
    def profile(self) -> DeviceProfile:
        """What it was made from."""
        ...

    @property
    def unit(self) -> Unit:
        """What this hardware is measured in, before the profile makes microseconds of it."""
        ...

    @property
    def here(self) -> bool:
        """Whether it is this machine's own processor, which the processes that play a system share with it."""
        ...

    @property
    def cache_bytes(self) -> int:
        """What the cores' own last caches hold together; 0 where the size of a network makes no difference."""
        ...

    @property
    def kernel_model(self) -> "KernelModel | None":
        """What knows kernels' times without running them; None where only measuring tells."""
        ...

    @property
    def pool(self) -> "BoardPool | None":
        """The equal boards that it stands for; None where it is one piece of hardware."""
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
        """Time whole runs of a compiled graph, warm, on staged inputs.

        Raises:
            DeviceError: the device cannot run the artifact.
        """
        ...

    def time_kernels(self, artifact: Artifact, repeats: int = 20) -> NDArray[np.float64]:
        """Time each kernel where it stands; shape (repeats, kernels), nothing rejected.

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


class UnscaledDevice(Device, Protocol):
    """The device of an `UnscaledProfile`: `get_device(profile.unscaled())`."""

    @property
    def profile(self) -> UnscaledProfile:
        """What it was made from."""
        ...


class KernelModel(Protocol):
    """Knows every kernel's time without running it (a roofline), so that no table is needed."""

    def kernel_times(self, kernels: Sequence[Kernel]) -> NDArray[np.float64]:
        """Time of each kernel, shape (kernels,)."""
        ...


class BoardPool(Protocol):
    """Several equal boards, each of which may hang, go away or time wrongly."""

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
