"""What a graph costs beyond its kernels: entering and leaving it, and going from one kernel to the next."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from splitkit.latency.store import GraphTime

FEW_GRAPHS = 4
"""With fewer graphs than this, a cost per kernel cannot be told from one per graph."""


@dataclass(frozen=True)
class Dispatch:
    """Cost of one graph: `graph_us` once and `kernel_us` per kernel.

    `kernel_us` is negative where timing a kernel alone costs more than running it among others.
    """

    graph_us: float = 0.0
    kernel_us: float = 0.0

    @classmethod
    def fit(cls, graphs: Sequence[GraphTime]) -> "Dispatch":
        """Least squares of (end to end - sum of kernels), each graph weighted by 1 / its time: errors are relative."""
        if not graphs:
            return cls()
        extra = np.array([graph.total_us - graph.kernel_us for graph in graphs])
        weight = 1 / np.array([graph.total_us for graph in graphs])
        kernels = np.array([graph.kernels for graph in graphs], dtype=np.float64)
        if len(graphs) < FEW_GRAPHS or np.ptp(kernels) == 0:
            return cls(graph_us=float(np.average(extra, weights=weight**2)))
        design = np.stack([weight, kernels * weight], axis=1)
        solution, *_ = np.linalg.lstsq(design, extra * weight, rcond=None)
        return cls(float(solution[0]), float(solution[1]))
