"""Latency of networks that no space has: both halves lowered as they would be compiled, and added up.

Slower than `SystemPredictor`, which adds up units, and for any chain of them; corrections are the same.
"""

from collections.abc import Sequence

import numpy as np

from splitkit.graphs.graph import RenderedGraph
from splitkit.latency.corrections import Corrections
from splitkit.latency.graph_predictor import GraphPredictor
from splitkit.latency.hop import Hop
from splitkit.latency.predictor import Prediction
from splitkit.latency.store import LutStore
from splitkit.profiles.schema import System
from splitkit.sides import SIDES, Side
from splitkit.space.network import Network
from splitkit.space.operators import Operator


class NetworkPredictor:
    """Predicts networks on one system from one store.

    Args:
        views: how many sensors use the link.
        corrections: what measured candidates of a search taught, see `Corrections.fit`.
    """

    def __init__(self, system: System, store: LutStore, views: int = 1, corrections: Corrections | None = None) -> None:
        self.system = system
        self.corrections = corrections or Corrections()
        self.hop = Hop.of(store, system, views)
        self._sources = {side: GraphPredictor(system.device(side), store) for side in SIDES}
        self._halves: dict[tuple[Side, tuple[Operator, ...]], tuple[float, float, float]] = {}

    def predict(self, networks: Sequence[Network]) -> Prediction:
        """Predictions of n networks, arrays of shape (n,).

        Raises:
            DeviceError: kernels are missing and cannot be estimated, or an exporter does not name them.
            ModelError: a half cannot be compiled.
        """
        halves = {side: np.array([self._half(side, n) for n in networks]).reshape(-1, 3) for side in SIDES}
        sensor, aggregator = halves["sensor"], halves["aggregator"]
        payload = np.array([n.payload_bytes for n in networks], dtype=np.float64)
        link_us, aggregator_us = self.hop.link_us(payload), aggregator[:, 0] + self.hop.aggregator_us
        known, kernels = sensor[:, 1] + aggregator[:, 1], sensor[:, 2] + aggregator[:, 2]
        return Prediction(
            sensor_us=sensor[:, 0],
            link_us=link_us,
            aggregator_us=aggregator_us,
            total_us=sensor[:, 0] + link_us + aggregator_us,
            payload_bytes=payload,
            sensor_peak_bytes=np.array([n.peak_sensor_bytes_bound() for n in networks], dtype=np.float64),
            sensor_macs=np.array([n.macs("sensor") for n in networks], dtype=np.float64),
            aggregator_macs=np.array([n.macs("aggregator") for n in networks], dtype=np.float64),
            measured_fraction=np.divide(known, kernels, out=np.ones_like(known), where=kernels > 0),
        )

    def _half(self, side: Side, network: Network) -> tuple[float, float, float]:
        """Of one side: its time, its kernels' and the known part of that, us; nothing for a side that is empty."""
        operators = tuple(network.operators(side))
        if not operators:
            return 0.0, 0.0, 0.0
        if (side, operators) not in self._halves:
            source, correction = self._sources[side], self.corrections.side(side)
            kernels = source.lowering.graph(RenderedGraph(operators))
            us = source.in_network_us(kernels) * correction.factors(kernels)
            total = (float(us.sum()) + source.overhead_us(len(kernels))) * correction.residual_factor
            known = float(us[source.known(kernels)].sum())
            self._halves[side, operators] = max(total, 0.0), known, float(us.sum())
        return self._halves[side, operators]
