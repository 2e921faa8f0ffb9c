"""A gene is one declaration: everything that walks over genes takes in a new one."""

from collections import Counter
from dataclasses import dataclass, field
from itertools import product
from typing import ClassVar

import numpy as np
import pytest
from scipy.stats import chisquare

from splitkit.errors import ConfigError
from splitkit.space import Architecture, PhaseChoice, Sampler, SearchSpace, space_size
from splitkit.space.encoding import Encoding
from splitkit.space.genes import gene
from splitkit.space.search_space import PhaseSpace, parse_space
from splitkit.space.unit_table import UnitTable

from .test_sampling import SMALL


def with_a_sensor(views: int, placement: str) -> bool:
    return placement != "aggregator"


@dataclass(frozen=True, slots=True)
class DampedChoice(PhaseChoice):
    damping: int = field(default=1, metadata=gene("dampings"))


@dataclass(frozen=True, slots=True)
class ToneArchitecture(Architecture):
    tone: str = field(default="plain", metadata=gene("tones", with_a_sensor, grows=False))


class DampedPhase(PhaseSpace):
    dampings: tuple[int, ...] = (1, 2)


class ToneSpace(SearchSpace):
    """The same space with two genes more: one of the network, free where a sensor computes, and one of every phase."""

    architecture: ClassVar[type[Architecture]] = ToneArchitecture
    phase_choice: ClassVar[type[PhaseChoice]] = DampedChoice
    phases: tuple[DampedPhase, ...]
    tones: tuple[str, ...] = ("plain", "bright")


@pytest.fixture(scope="module")
def space() -> ToneSpace:
    return ToneSpace.model_validate(parse_space(SMALL, "small").model_dump())


@pytest.fixture(scope="module")
def everything(space: ToneSpace) -> list[Architecture]:
    encoding = Encoding(space)
    vectors = product(*(range(upper + 1) for upper in encoding.upper))
    return sorted({encoding.decode(np.array(genes)) for genes in vectors}, key=str)


def test_it_has_a_place_in_every_vector(space: ToneSpace, everything: list[Architecture]) -> None:
    encoding = Encoding(space)
    assert encoding.names[-1] == "tone"
    assert "phases[0].damping" in encoding.names
    for architecture in everything:
        assert encoding.decode(encoding.encode(architecture)) == architecture


def test_it_is_fixed_where_it_cannot_matter(space: ToneSpace, everything: list[Architecture]) -> None:
    tones = {placement: set() for placement in space.placements}  # type: ignore[var-annotated]
    for architecture in everything:
        space.check(architecture)
        tones[architecture.placement].add(architecture.tone)  # type: ignore[attr-defined]
    assert tones == {"aggregator": {"plain"}, "split": {"plain", "bright"}, "sensor": {"plain", "bright"}}


def test_it_is_counted_and_drawn_evenly(space: ToneSpace, everything: list[Architecture]) -> None:
    assert space_size(space) == len(everything)
    sampler = Sampler(space, np.random.default_rng(3))
    counts = Counter(sampler.uniform() for _ in range(20 * len(everything)))
    assert set(counts) <= set(everything)
    assert chisquare([counts[a] for a in everything]).pvalue > 0.01


def test_a_value_that_is_no_choice_is_named(space: ToneSpace) -> None:
    body = space.largest(1).to_json()
    assert body["tone"] == "plain"
    assert body["phases"][0]["damping"] == 2
    odd = ToneArchitecture(**body | {"phases": tuple(DampedChoice(**p | {"damping": 3}) for p in body["phases"])})
    with pytest.raises(ConfigError, match=r"phases\[0\]\.damping: 3 is not one of \[1, 2\]"):
        space.check(odd)


def test_the_unit_table_has_a_column_for_it(space: ToneSpace, everything: list[Architecture]) -> None:
    table = UnitTable(space)
    assert len(table) > len(UnitTable(parse_space(SMALL, "small")))
    genes = Encoding(space).encode_all(everything)
    rows = table.rows(genes)
    damping = Encoding(space).columns(genes)["phases[0].damping"]
    ids = {value: set(rows.ids[damping == value].ravel()) for value in (0, 1)}
    assert ids[0] != ids[1], "blocks that differ in the gene are different entries"
