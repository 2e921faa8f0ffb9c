"""How long kernels take on one device: modelled, measured, or estimated from measured ones, and which of these."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from splitkit.devices import Device, get_device
from splitkit.errors import DeviceError
from splitkit.exporters.protocol import Kernel
from splitkit.exporters.registry import get_exporter
from splitkit.latency.regression import KernelRegression
from splitkit.latency.store import CacheMode, Conditions, LutStore
from splitkit.profiles.schema import DeviceProfile

FloatArray = NDArray[np.float64]


@runtime_checkable
class ModelledDevice(Protocol):
    """A device that knows every kernel's time without running it (a roofline), so that it needs no table."""

    def kernel_times_us(self, kernels: Sequence[Kernel]) -> FloatArray:
        """Time of each kernel, shape (kernels,)."""
        ...


@dataclass(frozen=True)
class Times:
    """Times of n kernels in us, and whether each rests on a measurement (or the device's own model), shape (n,)."""

    us: FloatArray
    known: NDArray[np.bool_]


def conditions_of(device: Device, exporter: str, cache_mode: CacheMode = "in_situ") -> Conditions:
    """The conditions under which rows hold for a device. Give it the unscaled device."""
    version, target = get_exporter(exporter).version, device.target().key()
    return Conditions(device.fingerprint(), exporter, version, target, cache_mode, device.unit)


class KernelTimes:
    """Kernel times of one device from one store, read once.

    Rows are in the device's unit; what makes microseconds of them, family by family, is the profile's `us_per_unit`,
    applied here and nowhere else. Rows in situ come before rows in rotation, those before the regression.
    """

    def __init__(self, store: LutStore, profile: DeviceProfile) -> None:
        self.profile = profile
        self.device = get_device(profile.unscaled())
        self.modelled = isinstance(self.device, ModelledDevice)
        self._measured: dict[str, float] = {}
        self._regression: KernelRegression | None = None
        self._store = store
        if not self.modelled:
            self._read(store)

    def _read(self, store: LutStore) -> None:
        for mode in ("rotation", "in_situ"):
            condition = store.condition(conditions_of(self.device, self.profile.exporter, mode))
            self._measured |= store.values(condition)

    @property
    def rows(self) -> int:
        """How many kernels of this device were measured."""
        return len(self._measured)

    def __call__(self, kernels: Sequence[Kernel], *, allow_missing: bool = True) -> Times:
        """Times of `kernels`.

        Raises:
            DeviceError: a kernel was not measured and either `allow_missing` is false or nothing was measured at all.
        """
        us_per_unit = np.array([self.profile.us_per_unit(kernel.family) for kernel in kernels])
        if isinstance(self.device, ModelledDevice):
            return Times(self.device.kernel_times_us(kernels) * us_per_unit, np.ones(len(kernels), dtype=np.bool_))
        rows = np.array([self._measured.get(kernel.key, np.nan) for kernel in kernels])
        known = ~np.isnan(rows)
        missing = np.flatnonzero(~known).tolist()
        if len(missing):
            if not allow_missing or not self._measured:
                count = f"{len(missing)} of {len(kernels)}"
                raise DeviceError(
                    f"device {self.profile.name}: {count} kernels are not in {self._store.path}",
                    f"measure them with `splitkit bench --target {self.profile.name}`",
                )
            rows[missing] = self._fitted().predict([kernels[i] for i in missing]).us
        return Times(rows * us_per_unit, known)

    def _fitted(self) -> KernelRegression:
        if self._regression is None:
            known = self._store.kernels(self.profile.exporter, self._measured)
            keys = sorted(known)
            self._regression = KernelRegression([known[k] for k in keys], np.array([self._measured[k] for k in keys]))
        return self._regression
