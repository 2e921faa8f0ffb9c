"""Cuts of random networks, against trying everything."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from splitkit.partition.cuts import cuts_of, least_memory, list_cuts
from splitkit.partition.mincut import least_cost
from splitkit.partition.network import Network
from tests.partition.networks import all_cuts, networks


def crossing(network: Network, sensor: np.typing.NDArray[np.bool_]) -> set[str]:
    """Straight from the definition."""
    written = {name for piece, own in zip(network.pieces, sensor, strict=True) if own for name in piece.writes}
    read = {name for piece, own in zip(network.pieces, sensor, strict=True) if not own for name in piece.reads}
    return (written | {*network.edges.captured_names}) & (read | {*network.edges.result_names})


@given(networks())
def test_what_crosses_is_what_one_side_has_and_the_other_needs(network: Network) -> None:
    for sensor in all_cuts(network):
        [cut] = cuts_of(network, sensor[None])
        assert set(cut.crossing) == crossing(network, sensor)
        assert len(set(cut.crossing)) == len(cut.crossing)
        assert cut.payload_bytes == sum(network.tensors[name].bytes for name in cut.crossing)


@given(networks(), st.integers(1, 4))
def test_listed_cuts_separate_and_are_listed_once(network: Network, most: int) -> None:
    cuts = list_cuts(network, most)
    possible = {sensor.tobytes() for sensor in all_cuts(network)}
    listed = [cut.sensor.tobytes() for cut in cuts]
    assert set(listed) <= possible
    assert len(set(listed)) == len(listed)
    assert all(len(cut.crossing) <= most for cut in cuts if cut.placement == "split")
    assert cuts[0].placement == "aggregator"
    whole = np.ones(len(network.pieces), dtype=np.bool_)
    assert (cuts[-1].placement == "sensor") == (whole.tobytes() in possible)


@given(networks(), st.data())
def test_the_minimum_cut_is_the_best_of_all(network: Network, data: st.DataObject) -> None:
    costs = st.lists(st.integers(0, 100), min_size=len(network.pieces), max_size=len(network.pieces))
    sensor_us, aggregator_us = (np.array(data.draw(costs), dtype=np.float64) for _ in range(2))
    us_per_byte = data.draw(st.sampled_from([0.0, 0.01, 1.0, 30.0]))

    def cost(sensor: np.typing.NDArray[np.bool_]) -> float:
        computing = sensor_us[sensor].sum() + aggregator_us[~sensor].sum()
        return float(computing + us_per_byte * cuts_of(network, sensor[None])[0].payload_bytes)

    best = least_cost(network, sensor_us, aggregator_us, us_per_byte)
    choices = all_cuts(network)
    assert any(np.array_equal(best, sensor) for sensor in choices)
    scale = sensor_us.sum() + aggregator_us.sum() + us_per_byte * sum(t.bytes for t in network.tensors.values())
    assert cost(best) <= min(map(cost, choices)) + 1e-6 * scale


@given(networks())
def test_a_sensor_needs_at_least_its_largest_tensor(network: Network) -> None:
    for cut in list_cuts(network):
        own = [piece for piece, mine in zip(network.pieces, cut.sensor, strict=True) if mine]
        sizes = [network.tensors[n].bytes for p in own for n in (*p.reads, *p.writes) if n in network.tensors]
        assert least_memory(network, cut) == max(sizes, default=0)
