"""How long kernels take on one device: modelled, measured, or estimated from measured ones, and which of these."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from splitkit.compiler.kernel import Kernel
from splitkit.devices import UnscaledDevice, get_device
from splitkit.errors import DeviceError
from splitkit.exporters.registry import get_exporter
from splitkit.latency.regression import KernelRegression
from splitkit.latency.residency import IN_SITU, STATES
from splitkit.latency.rows import CacheMode, Conditions
from splitkit.latency.store import LutStore
from splitkit.profiles.schema import DeviceProfile

FloatArray = NDArray[np.float64]

LEAST_WEIGHTS = 16 * 1024
"""Bytes; kernels with fewer say little about what fetching weights costs."""

FEW_KERNELS = 5
"""With fewer kernels measured in two neighbouring states, what lies between is not known, and taken as nothing."""

MOST_FETCHING = 0.7
"""No kernel saves more than this share of its time when its weights are nearer."""


@dataclass(frozen=True)
class Times:
    """Times of n kernels in us in every state of the caches, shape (states, n), and whether they rest on a measurement
    (or the device's own model), shape (n,)."""

    us: FloatArray
    known: NDArray[np.bool_]


def conditions_of(device: UnscaledDevice, exporter: str, cache_mode: CacheMode = "in_situ") -> Conditions:
    """The conditions under which rows hold for a device.

    Raises:
        TypeError: it is scaled, which only callers that are not type-checked can bring about.
    """
    if not device.profile.is_unscaled:
        raise TypeError(f"device {device.profile.name} is scaled: rows are of get_device(profile.unscaled())")
    version, target = get_exporter(exporter).version, device.target().key()
    return Conditions(device.fingerprint(), exporter, version, target, cache_mode, device.unit)


def network_conditions(device: UnscaledDevice, exporter: str) -> tuple[Conditions, ...]:
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
        self.cache_bytes = self.device.cache_bytes
        self.modelled = self.device.kernel_model is not None
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

    def __call__(self, kernels: Sequence[Kernel], *, allow_missing: bool = True) -> Times:
        """Times of `kernels` in networks in each of `residency.STATES`.

        Raises:
            DeviceError: a kernel was not measured and either `allow_missing` is false or nothing was measured at all.
        """
        us_per_unit = np.array([self.profile.us_per_unit(kernel.family) for kernel in kernels])
        if (model := self.device.kernel_model) is not None:
            us = model.kernel_times(kernels) * us_per_unit
            return Times(np.tile(us, (len(STATES), 1)), np.ones(len(kernels), dtype=np.bool_))
        rows = self._converted(kernels)
        known = ~np.isnan(rows[IN_SITU])
        missing = np.flatnonzero(~known).tolist()
        if len(missing):
            if not allow_missing or not self.rows:
                count = f"{len(missing)} of {len(kernels)}"
                raise DeviceError(
                    f"device {self.profile.name}: {count} kernels are not in {self._store.path}",
                    "`splitkit bench --target sensor` and `splitkit bench --target aggregator` measure them",
                )
            unknown = [kernels[i] for i in missing]
            estimate = self._regression.predict(unknown).times
            rows[:, missing] = [self._moved(estimate, unknown, IN_SITU, state) for state in range(len(STATES))]
        return Times(rows * us_per_unit, known)

    @cached_property
    def _keys(self) -> set[str]:
        return {key for rows in self._rows for key in rows}

    def _converted(self, kernels: Sequence[Kernel]) -> FloatArray:
        """Times in every state, from the rows of the state nearest to it, not a number where there are none."""
        keys, states = [kernel.key for kernel in kernels], range(len(STATES))
        measured = [np.array([rows.get(key, np.nan) for key in keys], dtype=np.float64) for rows in self._rows]
        converted = np.full((len(STATES), len(kernels)), np.nan)
        for state in states:
            for other in sorted(states, key=lambda other: (abs(other - state), -other)):
                times = self._moved(measured[other], kernels, other, state)
                converted[state] = np.where(np.isnan(converted[state]), times, converted[state])
        return converted

    def _moved(self, times: FloatArray, kernels: Sequence[Kernel], state: int, to: int) -> FloatArray:
        """Times in one state, moved to another."""
        weights = np.array([kernel.weight_bytes for kernel in kernels], dtype=np.float64)
        further = (self._fetch_per_byte[to] - self._fetch_per_byte[state]) * weights
        return np.asarray(times + np.maximum(further, -MOST_FETCHING * times))

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
        return KernelRegression(kernels, self._converted(kernels)[IN_SITU])
