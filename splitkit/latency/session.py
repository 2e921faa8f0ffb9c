"""One session of measuring under one set of conditions, watched by an anchor kernel.

The anchor is always the same kernel, timed before and after whatever is measured. Where it deviates from what it took
in all sessions so far, the machine was disturbed (another process, a lower clock): the measurement is taken again, and
flagged if that does not help.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from splitkit.devices import Device, Timing
from splitkit.errors import DeviceError
from splitkit.exporters.protocol import Artifact, Kernel, KernelExporter
from splitkit.exporters.registry import get_exporter
from splitkit.latency.kernel_times import conditions_of
from splitkit.latency.store import CacheMode, LutStore

T = TypeVar("T")

DRIFT_TOLERANCE = 0.1
"""Relative deviation of the anchor beyond which a measurement is repeated."""

ATTEMPTS = 3
ANCHOR_RUNS = 60


class BenchSession:
    """Measures on one device for one store; `device` must be the unscaled one.

    Attributes:
        condition, number: row numbers of the conditions and of this session in the store.
        flagged: measurements kept although the anchor had drifted.

    Raises:
        DeviceError: the exporter cannot build single kernels.
    """

    def __init__(self, store: LutStore, device: Device, exporter: str, mode: CacheMode, workdir: Path) -> None:
        self.store, self.device, self.workdir = store, device, workdir
        found = get_exporter(exporter)
        if not isinstance(found, KernelExporter):
            raise DeviceError(f"exporter {exporter}: cannot time single kernels", "use one that can, such as tvm")
        self.exporter: KernelExporter = found
        self.condition = store.condition(conditions_of(device, exporter, mode))
        self.number = store.start_session(self.condition)
        self.flagged = 0
        self._anchor: Artifact | None = None
        self._history: list[float] = []

    def watch(self, candidates: Sequence[Kernel]) -> None:
        """Choose the anchor if this is the condition's first session: the candidate with the median work."""
        if self._anchor is not None:
            return
        known = self.store.anchors(self.condition)
        if known:
            kernel, self._history = self.store.kernels(self.exporter.name, [known[0]])[known[0]], known[1]
        else:
            kernel = sorted(candidates, key=lambda k: (k.macs, k.key))[len(candidates) // 2]
            self.store.add_kernels(self.exporter.name, [kernel])
        self._anchor = self.exporter.build_kernels([kernel], self.device.target(), self.workdir / "anchor")

    def drift(self) -> float:
        """Time the anchor: how much slower than its median over all sessions it runs now (1: as ever)."""
        assert self._anchor is not None
        us = Timing.from_samples(self.device.time_kernels(self._anchor, ANCHOR_RUNS)[:, 0]).median_us
        self.store.add_anchor(self.number, self._anchor.kernels[0].key, us)
        self._history.append(us)
        return us / float(np.median(self._history))

    def steady(self, measure: Callable[[], T]) -> tuple[T, float]:
        """Measure while the anchor is steady; returns the attempt with the least drift, and that drift."""
        best: tuple[T, float] | None = None
        before = self.drift()
        for _ in range(ATTEMPTS):
            result = measure()
            after = self.drift()
            drift = max(before, after, key=lambda d: abs(d - 1))
            if best is None or abs(drift - 1) < abs(best[1] - 1):
                best = (result, drift)
            if abs(drift - 1) <= DRIFT_TOLERANCE:
                break
            before = after
        else:
            self.flagged += 1
        assert best is not None
        return best
