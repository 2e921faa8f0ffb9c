import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from splitkit.space import Architecture, Sampler, SearchSpace
from splitkit.space.encoding import Encoding

from .strategies import members, spaces


@given(members())
def test_decoded_architectures_are_canonical_members(member: tuple[SearchSpace, Architecture]) -> None:
    space, architecture = member
    space.check(architecture)
    assert space.canonical(architecture) == architecture
    assert architecture.placement in space.placements


@given(members())
def test_encode_inverts_decode(member: tuple[SearchSpace, Architecture]) -> None:
    space, architecture = member
    encoding = Encoding(space)
    genes = encoding.encode(architecture)
    assert np.all((genes >= 0) & (genes <= encoding.upper))
    assert encoding.decode(genes) == architecture


@given(members())
def test_json_round_trip(member: tuple[SearchSpace, Architecture]) -> None:
    _, architecture = member
    assert Architecture.from_json(json.loads(json.dumps(architecture.to_json()))) == architecture


@given(spaces(), st.integers(0, 2**32 - 1))
def test_samples_children_and_mutants_are_members(space: SearchSpace, seed: int) -> None:
    sampler = Sampler(space, np.random.default_rng(seed))
    first, second = sampler.uniform(), sampler.uniform()
    for architecture in (first, second, sampler.mutate(first), sampler.crossover(first, second)):
        space.check(architecture)
