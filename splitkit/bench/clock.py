"""The clock of a table: what is to be compared with its rows is timed at the same one."""

from pathlib import Path

from splitkit.bench.anchor import Anchor
from splitkit.bench.session import kernel_exporter
from splitkit.devices import get_device
from splitkit.latency.kernel_times import conditions_of
from splitkit.latency.store import LutStore
from splitkit.profiles.schema import DeviceProfile


class TableClock:
    """Watches devices by the anchors of their tables. Anchors are compiled into `workdir`, once each."""

    def __init__(self, store: LutStore, workdir: Path) -> None:
        self._store, self._workdir = store, workdir
        self._anchors: dict[str, Anchor] = {}

    def anchor(self, profile: DeviceProfile) -> Anchor:
        """The anchor of a profile's table; one that watches nothing where there is no clock, or no table."""
        if profile.name not in self._anchors:
            self._anchors[profile.name] = self._make(profile, self._workdir / f"anchor-{len(self._anchors)}")
        return self._anchors[profile.name]

    def _make(self, profile: DeviceProfile, directory: Path) -> Anchor:
        device = get_device(profile.unscaled())
        if device.unit != "us" or device.kernel_model or device.pool:
            return Anchor(device)
        condition = self._store.condition(conditions_of(device, profile.exporter))
        known = self._store.anchor(condition, profile.exporter)
        if known is None:
            return Anchor(device)
        kernel, reference = known
        artifact = kernel_exporter(profile.exporter).build_kernels([kernel], device.target(), directory)
        return Anchor(device, artifact, reference)
