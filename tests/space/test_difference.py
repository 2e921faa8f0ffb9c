"""How two spaces differ."""

import pytest

from splitkit.space import load_space
from splitkit.space.difference import space_difference
from splitkit.space.search_space import parse_space, space_template

TEXT = space_template()


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("size = 64", "size = 96", "input.size: 64 then, 96 now"),
        ("widths = [48, 64]", "widths = [48, 72]", "phases[1].widths: [48, 64] then, [48, 72] now"),
        ("classes = 10", "classes = 6", "head.classes: 10 then, 6 now"),
        ('name = "mine"', 'name = "yours"', "name: mine then, yours now"),
        (TEXT[TEXT.rindex("[[phases]]") : TEXT.index("[head]")], "", "phases: 3 then, 2 now"),
    ],
)
def test_the_field_that_changed_is_named(old: str, new: str, named: str) -> None:
    assert old in TEXT
    then, now = parse_space(TEXT, "then"), parse_space(TEXT.replace(old, new), "now")
    assert space_difference(then, now) == named
    assert space_difference(then, then) is None


def test_two_presets_differ() -> None:
    assert space_difference(load_space("tiny"), load_space("cifar")) == "name: tiny then, cifar now"
