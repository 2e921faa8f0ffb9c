"""Fill the table: time kernels in libraries of their own, in rotation.

For kernels of any origin, such as those of a model nobody generated from a search space. Kernels of a library run one
after the other, so that each meets the caches as the others left them. Every library is one transaction: stopped and
started again, building goes on where it was.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from splitkit.bench.session import BenchSession
from splitkit.compiler.kernel import Kernel
from splitkit.devices import UnscaledDevice
from splitkit.latency.measurement import summarise
from splitkit.latency.store import KernelTime, LutStore

KERNELS_PER_LIBRARY = 32
"""Large enough to share one compilation, small enough that a network's worth of data goes round."""

KERNEL_RUNS = 60


@dataclass(frozen=True)
class BuildProgress:
    """Told after each step: what is known of all that is wanted, and seconds spent.

    Building from a space it is units that are counted, and it is also told how many `networks` were measured, what
    share of the units' weight is covered, and how many seconds are left to go, as far as that can be seen.
    """

    known: int
    wanted: int
    seconds: float
    networks: int = 0
    coverage: float = 0.0
    eta_s: float | None = None


@dataclass(frozen=True)
class BuildReport:
    """What a building session did. `missing` were left for want of time; `flagged` steps saw the anchor drift.

    Building from a space: how many `networks` were measured, and by which `boards`; what share of the units' weight is
    covered; which boards ever failed (`trouble`), and which are not used any more (`left_out`), and why. The rows of
    boards whose timings were not believed are not in the table. `lost` jobs took their process with them.
    """

    measured: int
    reused: int
    missing: int
    flagged: int
    seconds: float
    networks: int = 0
    coverage: float = 0.0
    boards: Mapping[str, int] = field(default_factory=dict)
    trouble: Mapping[str, str] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    lost: int = 0


Progress = Callable[[BuildProgress], None]


def build_lut(
    store: LutStore,
    device: UnscaledDevice,
    exporter: str,
    kernels: Sequence[Kernel],
    *,
    budget_s: float | None = None,
    progress: Progress = lambda _: None,
) -> BuildReport:
    """Measure those of `kernels` that the store lacks under this device's conditions, in the order given.

    Give the most useful kernels first.

    Raises:
        DeviceError: the exporter cannot build single kernels.
    """
    start = time.monotonic()
    wanted = list({kernel.key: kernel for kernel in kernels}.values())
    with TemporaryDirectory(prefix="splitkit-") as workdir:
        session = BenchSession(store, device, exporter, "rotation", Path(workdir))
        known = store.times(session.condition, (kernel.key for kernel in wanted))
        todo = [kernel for kernel in wanted if kernel.key not in known]
        done = 0
        for i in range(0, len(todo), KERNELS_PER_LIBRARY):
            if budget_s is not None and time.monotonic() - start > budget_s:
                break
            group = todo[i : i + KERNELS_PER_LIBRARY]
            _measure(session, group, Path(workdir) / f"library{i}")
            done += len(group)
            progress(BuildProgress(len(known) + done, len(wanted), time.monotonic() - start))
    return BuildReport(done, len(known), len(todo) - done, session.flagged, time.monotonic() - start)


def _measure(session: BenchSession, kernels: Sequence[Kernel], directory: Path) -> None:
    session.watch(kernels)
    artifact = session.exporter.build_kernels(kernels, session.device.target(), directory)
    samples, drift = session.steady(lambda: session.device.time_kernels(artifact, KERNEL_RUNS))
    values, variances = summarise(samples / drift)
    times = [
        KernelTime(kernel.key, float(value), float(variance), len(samples), drift)
        for kernel, value, variance in zip(kernels, values, variances, strict=True)
    ]
    with session.store.transaction():
        session.store.add_kernels(session.exporter.name, kernels)
        session.store.add_times(session.condition, session.number, times)
