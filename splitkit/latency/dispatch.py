"""What a graph costs beyond its kernels: entering and leaving it, and going from one kernel to the next."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from splitkit.latency.rows import GraphTime

FloatArray = NDArray[np.float64]

FEW_GRAPHS = 4
"""With fewer graphs than this, a cost per kernel cannot be told from one per graph."""

NOISE, NOISE_SHARE = 0.2, 0.002
"""How far end-to-end times are from the fit without anything being wrong: a constant, and a share of the total."""

ITERATIONS = 20


@dataclass(frozen=True)
class Dispatch:
    """Cost of one graph in the unit of the rows: `per_graph` once and `per_kernel` per kernel.

    `per_kernel` is negative where timing a kernel alone costs more than running it among others.
    """

    per_graph: float = 0.0
    per_kernel: float = 0.0

    @classmethod
    def fit(cls, graphs: Sequence[GraphTime]) -> "Dispatch":
        """Robust regression of (end to end - sum of kernels) on (1, kernels).

        A graph's code is not always that of its kernels alone, so a few graphs may be far off: Huber's weights, by
        iterated least squares (Huber, "Robust Estimation of a Location Parameter", 1964). Entering a graph takes no
        less than nothing: where it would come out so, what is gained is gained from kernel to kernel, and a graph of
        few kernels, whose time a scale may multiply, gains little.
        """
        if not graphs:
            return cls()
        extra = np.array([graph.total - graph.kernel_sum for graph in graphs])
        sigma = NOISE + NOISE_SHARE * np.array([graph.total for graph in graphs])
        kernels = np.array([graph.kernels for graph in graphs], dtype=np.float64)
        columns = [np.ones_like(kernels)]
        if len(graphs) >= FEW_GRAPHS and np.ptp(kernels) > 0:
            columns.append(kernels)
        fitted = cls(*_solve(columns, extra, sigma))
        return fitted if fitted.per_graph >= 0 else cls(0.0, *_solve([kernels], extra, sigma))


def _solve(columns: Sequence[FloatArray], values: FloatArray, sigma: FloatArray) -> list[float]:
    """One coefficient per column."""
    design, wanted = np.stack(columns, axis=1) / sigma[:, None], values / sigma
    weight = np.ones(len(values))
    for _ in range(ITERATIONS):
        root = np.sqrt(weight)
        solution, *_ = np.linalg.lstsq(design * root[:, None], wanted * root, rcond=None)
        weight = 1 / np.maximum(1, np.abs(wanted - design @ solution))
    return [float(value) for value in solution]
