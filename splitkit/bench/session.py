"""One session of measuring in this process, under one set of conditions, watched by an anchor kernel."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from splitkit.bench.anchor import Anchor, choose_anchor
from splitkit.compiler.kernel import Kernel
from splitkit.devices import UnscaledDevice
from splitkit.errors import DeviceError
from splitkit.exporters.protocol import KernelExporter
from splitkit.exporters.registry import get_exporter
from splitkit.latency.kernel_times import conditions_of
from splitkit.latency.rows import CacheMode
from splitkit.latency.store import LutStore

T = TypeVar("T")


def kernel_exporter(name: str) -> KernelExporter:
    """The exporter called `name`, if it can time single kernels.

    Raises:
        DeviceError: it cannot.
    """
    found = get_exporter(name)
    if not isinstance(found, KernelExporter):
        raise DeviceError(f"exporter {name}: cannot time single kernels", "use one that can, such as tvm")
    return found


class BenchSession:
    """Measures on one device for one store.

    Attributes:
        condition, number: row numbers of the conditions and of this session in the store.

    Raises:
        DeviceError: the exporter cannot build single kernels.
    """

    def __init__(self, store: LutStore, device: UnscaledDevice, exporter: str, mode: CacheMode, workdir: Path) -> None:
        self.store, self.device, self.workdir = store, device, workdir
        self.exporter = kernel_exporter(exporter)
        self.condition = store.condition(conditions_of(device, exporter, mode))
        self.number = store.start_session(self.condition)
        self._anchor: Anchor | None = None

    @property
    def flagged(self) -> int:
        """Measurements kept although the anchor had drifted."""
        return self._anchor.flagged if self._anchor else 0

    def watch(self, candidates: Sequence[Kernel]) -> None:
        """Choose the anchor if this is the condition's first session, among these."""
        if self._anchor is not None:
            return
        if self.device.unit != "us":
            self._anchor = Anchor(self.device)
            return
        known = self.store.anchor(self.condition, self.exporter.name)
        kernel, reference = known or (choose_anchor(candidates), None)
        self.store.add_kernels(self.exporter.name, [kernel])
        artifact = self.exporter.build_kernels([kernel], self.device.target(), self.workdir / "anchor")
        self._anchor = Anchor(self.device, artifact, reference)

    def steady(self, measure: Callable[[], T]) -> tuple[T, float]:
        """As `Anchor.steady`; what the anchor took is stored."""
        assert self._anchor is not None
        result = self._anchor.steady(measure)
        for key, values in self._anchor.times.items():
            for value in values:
                self.store.add_anchor(self.number, key, value)
        self._anchor.times.clear()
        return result
