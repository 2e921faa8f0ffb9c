"""The vectorised unit table says what `describe` says, for any gene vector."""

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from splitkit.space import SearchSpace, describe
from splitkit.space.encoding import Encoding
from splitkit.space.unit_table import UnitTable
from tests.space.strategies import spaces


@settings(max_examples=60, deadline=None)
@given(spaces(), st.integers(0, 2**32 - 1))
def test_rows_are_the_units_of_the_decoded_architectures(space: SearchSpace, seed: int) -> None:
    encoding, table = Encoding(space), UnitTable(space)
    genes = np.random.default_rng(seed).integers(0, encoding.upper + 1, size=(12, len(encoding.upper)))
    rows = table.rows(genes)
    for i, row in enumerate(genes):
        network = describe(space, encoding.decode(row))
        for counts, placed in ((rows.sensor[i], network.sensor), (rows.aggregator[i], network.aggregator)):
            assert (counts >= 0).all()
            found: Counter[object] = Counter()
            for entry, count in zip(rows.ids[i], counts, strict=True):
                if count:
                    found[table.unit(int(entry))] += int(count)
            assert found == Counter(p.unit for p in placed)


@settings(max_examples=30, deadline=None)
@given(spaces(), st.integers(0, 2**32 - 1))
def test_link_names_the_unit_that_sends(space: SearchSpace, seed: int) -> None:
    encoding, table = Encoding(space), UnitTable(space)
    genes = np.random.default_rng(seed).integers(0, encoding.upper + 1, size=(12, len(encoding.upper)))
    for row, link in zip(genes, table.rows(genes).link, strict=True):
        architecture = encoding.decode(row)
        if architecture.placement == "split":
            assert table.unit(int(link)) == describe(space, architecture).sensor[-1].unit
        else:
            assert link == -1
