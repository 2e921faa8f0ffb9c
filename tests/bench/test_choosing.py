"""Which network is measured next."""

import numpy as np

from splitkit.bench.choosing import Chooser
from splitkit.compiler.kernel import Kernel
from splitkit.space import load_space
from splitkit.space.units import Unit

SPACE = load_space("tiny")


def one_kernel(unit: Unit, number: int) -> tuple[Kernel, ...]:
    return (Kernel(f"k{number}", str(unit), "dense", 1, 1, 1, 1, "{}"),)


def lowered(chooser: Chooser) -> Chooser:
    units = chooser.heaviest_unlowered(len(chooser.table))
    chooser.lowered({unit: one_kernel(unit, i) for i, unit in enumerate(units)})
    return chooser


def test_what_is_measured_is_covered_and_not_chosen_for_again() -> None:
    chooser = lowered(Chooser.draw(SPACE, ("sensor", "aggregator"), (), 0))
    assert chooser.covered == 0
    seen, shares = set(), []
    for _ in range(5):
        architecture = chooser.next()
        assert architecture is not None
        entries = chooser.entries(chooser.architectures.index(architecture))
        new = {int(e) for e in entries} - seen
        assert new
        seen |= new
        chooser.measured(k.key for e in seen for k in chooser.kernels[e])
        shares.append(chooser.covered)
    assert shares == sorted(shares)
    assert chooser.progress()[0] == len(seen)


def test_networks_held_out_are_never_chosen() -> None:
    everything = Chooser.draw(SPACE, ("aggregator",), (), 0)
    held_out = everything.architectures[:500]
    chooser = Chooser.draw(SPACE, ("aggregator",), held_out, 0)
    assert not set(chooser.architectures) & set(held_out)


def test_a_network_under_way_counts_until_it_is_given_up() -> None:
    chooser = lowered(Chooser.draw(SPACE, ("aggregator",), (), 0))
    first = chooser.next()
    assert first is not None
    assert chooser.next() != first
    chooser.given_up(first)
    assert chooser.next() == first


def test_uncertain_units_come_before_certain_ones() -> None:
    chooser = lowered(Chooser.draw(SPACE, ("aggregator",), (), 0))
    kernels = chooser.all_kernels()
    doubtful = {k.key for e in chooser.entries(7) for k in chooser.kernels[int(e)]}
    chooser.rank({}, {k.key: (1.0, 1.0 if k.key in doubtful else 1e-6) for k in kernels})
    chosen = chooser.next()
    assert chosen is not None
    entries = chooser.entries(chooser.architectures.index(chosen))
    overlap = np.mean([k.key in doubtful for e in entries for k in chooser.kernels[int(e)]])
    assert overlap > 0.5


def test_how_many_networks_are_left_is_looked_ahead() -> None:
    chooser = lowered(Chooser.draw(SPACE, ("aggregator",), (), 0))
    assert chooser.networks_to(0.5, 1000) < chooser.networks_to(0.9, 1000) < 1000
    assert chooser.networks_to(0.0, 1000) == 0
