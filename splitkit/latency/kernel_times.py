"""How long kernels take on one device: modelled, measured, or estimated from measured ones, and which of these."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from splitkit.devices import Device, get_device
from splitkit.errors import DeviceError
from splitkit.exporters.protocol import Kernel
from splitkit.exporters.registry import get_exporter
from splitkit.latency.regression import KernelRegression
from splitkit.latency.residency import cache_of
from splitkit.latency.store import NETWORK_MODES, CacheMode, Conditions, LutStore
from splitkit.profiles.schema import DeviceProfile

FloatArray = NDArray[np.float64]

LEAST_WEIGHTS = 16 * 1024
"""Bytes; kernels with fewer say little about what fetching weights costs."""

FEW_KERNELS = 5
"""With fewer kernels measured in both states of the cache, what fetching costs is not known, and taken as nothing."""

MOST_FETCHING = 0.7
"""No kernel saves more than this share of its time when its weights are in the cache."""


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


def network_conditions(device: Device, exporter: str) -> tuple[Conditions, ...]:
    """The conditions of kernels timed where they stand, one for each state of the cache."""
    return tuple(conditions_of(device, exporter, mode) for mode in NETWORK_MODES)


class KernelTimes:
    """Kernel times of one device from one store, read once.

    Rows are in the device's unit; what makes microseconds of them, family by family, is the profile's `us_per_unit`,
    applied here and nowhere else. Rows in situ come before rows in rotation. A kernel measured in only one state of the
    cache is converted to the other by what its weights cost to fetch, one measured in neither estimated by regression.

    Attributes:
        cache_bytes: networks up to this size are resident; 0 where size makes no difference.
    """

    def __init__(self, store: LutStore, profile: DeviceProfile) -> None:
        self.profile = profile
        self.device = get_device(profile.unscaled())
        self.cache_bytes = cache_of(self.device)
        self.modelled = isinstance(self.device, ModelledDevice)
        self._store = store
        self._streaming: dict[str, float] = {}
        self._resident: dict[str, float] = {}
        if not self.modelled:
            rotation, self._streaming, self._resident = (
                store.values(store.condition(conditions_of(self.device, profile.exporter, mode)))
                for mode in ("rotation", "in_situ", "resident")
            )
            self._streaming = rotation | self._streaming

    @property
    def rows(self) -> int:
        """How many kernels of this device were measured."""
        return len(self._streaming.keys() | self._resident.keys())

    def __call__(self, kernels: Sequence[Kernel], *, resident: bool = False, allow_missing: bool = True) -> Times:
        """Times of `kernels` in networks that stay in the cache (`resident`), or that do not.

        Raises:
            DeviceError: a kernel was not measured and either `allow_missing` is false or nothing was measured at all.
        """
        us_per_unit = np.array([self.profile.us_per_unit(kernel.family) for kernel in kernels])
        if isinstance(self.device, ModelledDevice):
            return Times(self.device.kernel_times_us(kernels) * us_per_unit, np.ones(len(kernels), dtype=np.bool_))
        rows = self._converted(kernels, resident)
        known = ~np.isnan(rows)
        missing = np.flatnonzero(~known).tolist()
        if len(missing):
            if not allow_missing or not self.rows:
                count = f"{len(missing)} of {len(kernels)}"
                raise DeviceError(
                    f"device {self.profile.name}: {count} kernels are not in {self._store.path}",
                    f"measure them with `splitkit bench --target {self.profile.name}`",
                )
            unknown = [kernels[i] for i in missing]
            rows[missing] = self._regression.predict(unknown).us
            if resident:
                rows[missing] = self._without_fetching(rows[missing], unknown)
        return Times(rows * us_per_unit, known)

    def _converted(self, kernels: Sequence[Kernel], resident: bool) -> FloatArray:
        """Rows in one state, those of the other state converted, not a number where there is neither."""
        streaming, resident_rows = (
            np.array([rows.get(kernel.key, np.nan) for kernel in kernels], dtype=np.float64)
            for rows in (self._streaming, self._resident)
        )
        if resident:
            return np.where(np.isnan(resident_rows), self._without_fetching(streaming, kernels), resident_rows)
        return np.where(np.isnan(streaming), resident_rows + self._fetch_per_byte * _weights(kernels), streaming)

    def _without_fetching(self, streaming: FloatArray, kernels: Sequence[Kernel]) -> FloatArray:
        saved = np.minimum(self._fetch_per_byte * _weights(kernels), MOST_FETCHING * streaming)
        return np.asarray(streaming - saved)

    @cached_property
    def _fetch_per_byte(self) -> float:
        """What a byte of weights from beyond the cache costs: the median over kernels measured in both states."""
        kernels = self._store.kernels(self.profile.exporter, self._streaming.keys() & self._resident.keys())
        costs = [
            (self._streaming[key] - self._resident[key]) / kernel.weight_bytes
            for key, kernel in kernels.items()
            if kernel.weight_bytes >= LEAST_WEIGHTS
        ]
        return max(float(np.median(costs)), 0.0) if len(costs) >= FEW_KERNELS else 0.0

    @cached_property
    def _regression(self) -> KernelRegression:
        """Of times in networks that do not stay in the cache."""
        known = self._store.kernels(self.profile.exporter, self._streaming.keys() | self._resident.keys())
        kernels = [known[key] for key in sorted(known)]
        return KernelRegression(kernels, self._converted(kernels, resident=False))


def _weights(kernels: Sequence[Kernel]) -> FloatArray:
    return np.array([kernel.weight_bytes for kernel in kernels], dtype=np.float64)
