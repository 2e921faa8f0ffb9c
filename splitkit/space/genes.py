"""Genes: the choices an architecture is made of.

Each is declared once, as a field of `Architecture` or `PhaseChoice`. Encoding, canonical form, checks, extremes,
sampling and the columns of the unit table read the declarations, so that a new gene is a field, its choices in a
space, and what it does to a network.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

Matters = Callable[[int, str], bool]
"""Whether a gene matters, given the number of views and the placement."""


def everywhere(views: int, placement: str) -> bool:
    """It always matters."""
    return True


def over_a_link(views: int, placement: str) -> bool:
    """It matters where a feature is sent from a sensor to the aggregator."""
    return placement == "split"


def at_a_splitting_module(views: int, placement: str) -> bool:
    """It matters where `reduce` stands: at a split, and where several views are joined on the aggregator."""
    return placement == "split" or (placement == "aggregator" and views > 1)


def where_views_are_fused(views: int, placement: str) -> bool:
    """It matters where features of several views are joined; scores of sensors that compute all are averaged."""
    return views > 1 and placement != "sensor"


@dataclass(frozen=True, slots=True)
class Gene:
    """One choice.

    Attributes:
        name: the field it is.
        choices: where a `SearchSpace` (or, of a phase, its `PhaseSpace`) lists them, `stem.widths`.
        matters: on which placements; elsewhere its canonical value is the first choice.
        grows: whether later choices make larger networks; one that does not stays at its first in the largest network.
    """

    name: str
    choices: str
    matters: Matters
    grows: bool

    def of(self, space: Any) -> tuple[Any, ...]:
        """Its choices in a space, or in one phase of it."""
        found = space
        for name in self.choices.split("."):
            found = getattr(found, name)
        return tuple(found)

    def extreme(self, space: Any, last: bool) -> Any:
        """The choice that makes the largest network (`last`) or the smallest."""
        return self.of(space)[-1 if last and self.grows else 0]


def gene(choices: str, matters: Matters = everywhere, grows: bool = True) -> dict[str, Any]:
    """Metadata that make a dataclass field a gene; see `Gene`."""
    return {"gene": (choices, matters, grows)}


def genes_of(described: type) -> Mapping[str, Gene]:
    """The genes among a dataclass's fields, by name, in order."""
    if described not in _declared:
        _declared[described] = {
            f.name: Gene(f.name, *f.metadata["gene"]) for f in fields(described) if "gene" in f.metadata
        }
    return _declared[described]


_declared: dict[type, Mapping[str, Gene]] = {}


def phase_gene(phase: int, name: str) -> str:
    """What gene `name` of a phase is called in a vector and in messages."""
    return f"phases[{phase}].{name}"
