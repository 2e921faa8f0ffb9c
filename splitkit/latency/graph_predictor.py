"""Latency of one graph on one device, from a table of kernels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from splitkit.compiler.kernel import Kernel
from splitkit.graphs.graph import Graph
from splitkit.latency.dispatch import Dispatch
from splitkit.latency.kernel_times import KernelTimes, network_conditions
from splitkit.latency.lowering import Lowering
from splitkit.latency.residency import STATES, footprint_bytes, state_of
from splitkit.latency.store import LutStore
from splitkit.profiles.schema import DeviceProfile

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class GraphPrediction:
    """One graph on one device.

    Attributes:
        latency_us: of one run.
        kernels: what the compiler makes of it, in call order.
        kernel_us: of each.
        measured_fraction: share of the kernels' time that rests on measured ones (or an analytical device's own
            model) rather than on the regression.
    """

    latency_us: float
    kernels: tuple[Kernel, ...]
    kernel_us: tuple[float, ...]
    measured_fraction: float


class GraphPredictor:
    """Predicts graphs on one device from one store: pieces of a space and models of any origin alike.

    Args:
        profile: the device.
        allow_missing: estimate kernels that were not measured; otherwise `DeviceError` where one is met.
    """

    def __init__(self, profile: DeviceProfile, store: LutStore, *, allow_missing: bool = True) -> None:
        self._times = KernelTimes(store, profile)
        self.lowering = Lowering(store, profile.exporter, self._times.device.target())
        self.allow_missing = allow_missing
        self.cache_bytes = self._times.cache_bytes
        conditions = map(store.condition, network_conditions(self._times.device, profile.exporter))
        self.dispatch = Dispatch.fit([graph for condition in conditions for graph in store.graphs(condition)])
        self._scale = profile.us_per_unit()
        self._us: dict[str, FloatArray] = {}
        self._known: dict[str, bool] = {}

    def predict(self, graph: Graph) -> GraphPrediction:
        """The latency of one graph, weights and activations where a network of its size leaves them.

        Raises:
            ModelError: it cannot be compiled.
            DeviceError: the device's exporter cannot name kernels, or one is missing and must not be estimated.
        """
        kernels = self.lowering.graph(graph)
        us, known = self.in_network_us(kernels), self.known(kernels)
        total = float(us.sum())
        measured = float(us[known].sum()) / total if total else 1.0
        return GraphPrediction(total + self.overhead_us(len(kernels)), kernels, tuple(us.tolist()), measured)

    def in_network_us(self, kernels: Sequence[Kernel]) -> FloatArray:
        """Times of a whole graph's kernels as the table (or the regression) has them, us, shape (kernels,)."""
        us = self.state_us(kernels)
        nearer, share = between(state_of(footprint_bytes(kernels), self.cache_bytes))
        return np.asarray((1 - share) * us[nearer] + share * us[nearer + 1])

    def learn(self, kernels: Sequence[Kernel]) -> None:
        """Look up kernels not met before."""
        new = list({kernel.key: kernel for kernel in kernels if kernel.key not in self._us}.values())
        if new:
            keys = [kernel.key for kernel in new]
            times = self._times(new, allow_missing=self.allow_missing)
            self._us |= dict(zip(keys, times.us.T, strict=True))
            self._known |= dict(zip(keys, times.known.tolist(), strict=True))

    def state_us(self, kernels: Sequence[Kernel]) -> FloatArray:
        """Times in networks in each state, shape (states, kernels)."""
        self.learn(kernels)
        return np.array([self._us[kernel.key] for kernel in kernels], dtype=np.float64).reshape(-1, len(STATES)).T

    def known(self, kernels: Sequence[Kernel]) -> NDArray[np.bool_]:
        """Which of them rest on measurements, shape (kernels,)."""
        self.learn(kernels)
        return np.array([self._known[kernel.key] for kernel in kernels], dtype=np.bool_)

    def overhead_us(self, kernels: int) -> float:
        """Cost of a graph of so many kernels beyond the kernels."""
        return self._scale * (self.dispatch.per_graph + self.dispatch.per_kernel * kernels) if kernels else 0.0

    def coverage(self) -> tuple[int, int]:
        """Of the kernels met so far: how many are known, and how many there are."""
        return sum(self._known.values()), len(self._known)

    @property
    def per_kernel_us(self) -> float:
        """Cost of going from one kernel to the next."""
        return float(self._scale * self.dispatch.per_kernel)

    @property
    def per_graph_us(self) -> float:
        """Cost of entering and leaving a graph."""
        return float(self._scale * self.dispatch.per_graph)


def between(state: FloatArray) -> tuple[NDArray[np.int64], FloatArray]:
    """Of the two states that networks are between the one nearer to the core, and what share they have of the other."""
    nearer = np.minimum(state.astype(np.int64), len(STATES) - 2)
    return nearer, state - nearer
