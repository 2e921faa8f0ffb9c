"""Which units share weights."""

from collections.abc import Iterable, Iterator

from splitkit.space.network import PlacedUnit
from splitkit.space.units import Stem


def weights_of(chain: Iterable[PlacedUnit]) -> Iterator[tuple[str, PlacedUnit]]:
    """Every unit of one side with the key of its weights: its slot, and what kind of input it gets where that matters.

    Two things change what a unit's input means so much that sharing holds training back more than it helps, while a
    second set of weights costs no time: a strided block sees its own phase's features or, with no block ahead of it,
    those of the phase before; and a stem sees strokes and edges at the scale of its resolution.

    Keys hold no dots, as torch wants it of module names.
    """
    previous = ""
    for placed in chain:
        key = placed.slot.replace(".", "_")
        phase, _, block = placed.slot.partition(".")
        if block == "stride" and previous != phase:
            key = f"{phase}_first_stride"
        elif isinstance(placed.unit, Stem):
            key = f"stem_{placed.unit.resolution}"
        previous = phase
        yield key, placed
