"""The best cut of all, for costs that add up: a minimum cut between the sensor and the aggregator."""

from collections.abc import Mapping, Set

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

from splitkit.partition.network import Bools, Network

LARGEST = 2**29
"""Capacities are int32: the sum of all costs is scaled to this, so what is twice as much is never cut."""


def least_cost(
    network: Network,
    sensor_us: NDArray[np.float64],
    aggregator_us: NDArray[np.float64],
    us_per_byte: float,
) -> Bools:
    """Which pieces to give to the sensor, (pieces,), so that computing and sending cost least.

    Every piece costs its side's time, every tensor that crosses its bytes, once however many readers it has. What costs
    the same wherever the cut is (entering a graph, a transfer's overhead) is left out.

    Args:
        network: the pieces.
        sensor_us, aggregator_us: of each piece, (pieces,).
        us_per_byte: of the link.
    """
    pieces = len(network.pieces)
    node = {name: pieces + number for number, name in enumerate(network.tensors)}
    source, sink = pieces + len(node), pieces + len(node) + 1
    # What is on the source's side of the minimum cut is the sensor's. A tensor's node is there unless it crosses.
    costs = {(source, i): float(us) for i, us in enumerate(aggregator_us)}
    costs |= {(i, sink): float(us) for i, us in enumerate(sensor_us)}
    never = {
        (node[name], sink) for name in network.edges.result_names if name in node
    }  # the aggregator has the results in the end
    never |= {(int(i), sink) for i in np.flatnonzero(network.aggregators)}
    for name in network.tensors:
        writer = network.writer.get(name, source)
        costs[writer, node[name]] = network.sent(name).bytes * us_per_byte
        for reader in network.readers.get(name, ()):
            never.add((node[name], reader))  # a reader on the aggregator has the tensor cross
            if writer != source:
                never.add((reader, writer))  # nothing goes back to the sensor
    return _sources_side(costs, never, source, sink)[:pieces]


def _sources_side(costs: Mapping[tuple[int, int], float], never: Set[tuple[int, int]], source: int, sink: int) -> Bools:
    """Whether each node is on the source's side of a minimum cut that separates no pair of `never`."""
    scale = LARGEST / max(sum(costs.values()), 1e-30)
    capacities = {pair: int(cost * scale) for pair, cost in costs.items()} | dict.fromkeys(never, 2 * LARGEST)
    rows, columns = zip(*capacities, strict=True)
    values = np.array(list(capacities.values()), dtype=np.int32)
    graph = coo_array((values, (rows, columns)), shape=(sink + 1, sink + 1)).tocsr()
    left = graph - maximum_flow(graph, source, sink).flow
    left.eliminate_zeros()
    side = np.zeros(sink + 1, dtype=np.bool_)
    side[breadth_first_order(left, source, return_predecessors=False)] = True
    return side
