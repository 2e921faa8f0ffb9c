"""How long kernels take on one device: modelled, measured, or estimated from measured ones, and which of these."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from splitkit.devices import Device, get_device
from splitkit.errors import DeviceError
from splitkit.exporters.protocol import Kernel
from splitkit.exporters.registry import get_exporter
from splitkit.latency.regression import KernelRegression
from splitkit.latency.residency import IN_SITU, STATES, cache_of
from splitkit.latency.store import CacheMode, Conditions, LutStore
from splitkit.profiles.schema import DeviceProfile

FloatArray = NDArray[np.float64]

LEAST_WEIGHTS = 16 * 1024
"""Bytes; kernels with fewer say little about what fetching weights costs."""

FEW_KERNELS = 5
"""With fewer kernels measured in two neighbouring states, what lies between is not known, and taken as nothing."""

MOST_FETCHING = 0.7
"""No kernel saves more than this share of its time when its weights are nearer."""


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
    return tuple(conditions_of(device, exporter, mode) for mode in STATES)


class KernelTimes:
    """Kernel times of one device from one store, read once.

    Rows are in the device's unit; what makes microseconds of them, family by family, is the profile's `us_per_unit`,
    applied here and nowhere else. Rows in situ come before rows in rotation. A kernel is converted from the state it
    was measured in to others by what weights cost to fetch there; one measured in none is estimated by regression.

    Attributes:
        cache_bytes: what `residency.state_of` compares networks with; 0 where size makes no difference.
    """

    def __init__(self, store: LutStore, profile: DeviceProfile) -> None:
        self.profile = profile
        self.device = get_device(profile.unscaled())
        self.cache_bytes = cache_of(self.device)
        self.modelled = isinstance(self.device, ModelledDevice)
        self._store = store
        self._rows: list[dict[str, float]] = [{} for _ in STATES]
        if not self.modelled:
            rotation, *self._rows = (
                store.values(store.condition(conditions))
                for conditions in (
                    conditions_of(self.device, profile.exporter, "rotation"),
                    *network_conditions(self.device, profile.exporter),
                )
            )
            self._rows[IN_SITU] = rotation | self._rows[IN_SITU]

    @property
    def rows(self) -> int:
        """How many kernels of this device were measured."""
        return len(self._keys)

    def __call__(self, kernels: Sequence[Kernel], state: int = IN_SITU, *, allow_missing: bool = True) -> Times:
        """Times of `kernels` in networks in one of `residency.STATES`.

        Raises:
            DeviceError: a kernel was not measured and either `allow_missing` is false or nothing was measured at all.
        """
        us_per_unit = np.array([self.profile.us_per_unit(kernel.family) for kernel in kernels])
        if isinstance(self.device, ModelledDevice):
            return Times(self.device.kernel_times_us(kernels) * us_per_unit, np.ones(len(kernels), dtype=np.bool_))
        rows = self._converted(kernels, state)
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
            rows[missing] = self._moved(self._regression.predict(unknown).us, unknown, IN_SITU, state)
        return Times(rows * us_per_unit, known)

    @property
    def _keys(self) -> set[str]:
        return {key for rows in self._rows for key in rows}

    def _converted(self, kernels: Sequence[Kernel], state: int) -> FloatArray:
        """Rows in one state, others converted from the state nearest to it, not a number where there are none."""
        found = np.full(len(kernels), np.nan)
        for other in sorted(range(len(STATES)), key=lambda other: (abs(other - state), -other)):
            rows = np.array([self._rows[other].get(kernel.key, np.nan) for kernel in kernels], dtype=np.float64)
            found = np.where(np.isnan(found), self._moved(rows, kernels, other, state), found)
        return found

    def _moved(self, us: FloatArray, kernels: Sequence[Kernel], state: int, to: int) -> FloatArray:
        """Times in one state, moved to another."""
        weights = np.array([kernel.weight_bytes for kernel in kernels], dtype=np.float64)
        further = (self._fetch_per_byte[to] - self._fetch_per_byte[state]) * weights
        return np.asarray(us + np.maximum(further, -MOST_FETCHING * us))

    @cached_property
    def _fetch_per_byte(self) -> FloatArray:
        """What a byte of weights costs to fetch in each state, more than in the first.

        From state to state the median over kernels measured in both.
        """
        steps = [self._step(nearer, further) for nearer, further in pairwise(self._rows)]
        return np.cumsum([0.0, *steps])

    def _step(self, nearer: Mapping[str, float], further: Mapping[str, float]) -> float:
        kernels = self._store.kernels(self.profile.exporter, nearer.keys() & further.keys())
        costs = [
            (further[key] - nearer[key]) / kernel.weight_bytes
            for key, kernel in kernels.items()
            if kernel.weight_bytes >= LEAST_WEIGHTS
        ]
        return max(float(np.median(costs)), 0.0) if len(costs) >= FEW_KERNELS else 0.0

    @cached_property
    def _regression(self) -> KernelRegression:
        """Of times in situ."""
        known = self._store.kernels(self.profile.exporter, self._keys)
        kernels = [known[key] for key in sorted(known)]
        return KernelRegression(kernels, self._converted(kernels, IN_SITU))
