"""Pareto fronts over (accuracy or likelihood up, latency down)."""

import numpy as np

from splitkit.scores import FloatArray
from splitkit.space.encoding import IntArray


def pareto_front(quality: FloatArray, latency_us: FloatArray) -> IntArray:
    """Indices of the points no other point beats, by rising latency; of equal points only the first is kept."""
    order = np.lexsort((np.arange(len(quality)), -quality, latency_us))
    ordered = quality[order]
    best_before = np.concatenate([[-np.inf], np.maximum.accumulate(ordered)])[: len(ordered)]
    front: IntArray = order[ordered > best_before]
    return front


def spread(latency_us: FloatArray, count: int) -> list[int]:
    """Positions of up to `count` points of a front, evenly spread in the logarithm of latency, both ends included."""
    if len(latency_us) <= count:
        return list(range(len(latency_us)))
    logs = np.log(np.maximum(latency_us, 1e-9))
    chosen: list[int] = []
    for target in np.linspace(logs.min(), logs.max(), count):
        free = [i for i in range(len(logs)) if i not in chosen]
        chosen.append(min(free, key=lambda i: abs(logs[i] - target)))
    return sorted(chosen)


def hypervolume(accuracy: FloatArray, latency_us: FloatArray, worst_latency_us: float) -> float:
    """Area between a front and the corner (accuracy 0, `worst_latency_us`), latency on a logarithmic axis.

    Points slower than the corner count for nothing. A ratio of two such areas says how much of one front another
    recovers (Zitzler and Thiele, IEEE TEC 3(4), 1999).
    """
    front = [i for i in pareto_front(accuracy, latency_us) if latency_us[i] < worst_latency_us]
    edges = [*(float(np.log(latency_us[i])) for i in front), float(np.log(worst_latency_us))]
    return float(sum(accuracy[i] * (edges[k + 1] - edges[k]) for k, i in enumerate(front)))
