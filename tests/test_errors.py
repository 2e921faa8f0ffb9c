"""Mistakes in a copy are told of what the user gave."""

from pathlib import Path

import pytest

from splitkit.errors import BundleError, named_as

COPY, OWN = Path("/tmp/x1/table.db"), Path("runs/table.db")


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (BundleError(f"{COPY}: damaged", "export it again"), f"{OWN}: damaged (make another)"),
        (BundleError(f"{COPY.parent}: no room", "free some"), f"{COPY.parent}: no room (free some)"),
    ],
)
def test_a_copy_is_named_as_its_original_and_nothing_else_is(said: BundleError, told: str) -> None:
    with pytest.raises(BundleError) as caught, named_as(OWN, COPY, "make another"):
        raise said
    assert str(caught.value) == told


def test_without_a_hint_of_ones_own_the_mistakes_stays() -> None:
    with pytest.raises(BundleError, match=r"^runs/table\.db: damaged \(export it again\)$"), named_as(OWN, COPY):
        raise BundleError(f"{COPY}: damaged", "export it again")
