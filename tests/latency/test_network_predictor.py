"""Networks that no space has, predicted like those that one has."""

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from splitkit.latency import SystemPredictor
from splitkit.latency.corrections import Corrections, SideCorrection
from splitkit.latency.network_predictor import NetworkPredictor
from splitkit.latency.store import LutStore
from splitkit.space import describe, load_space
from splitkit.space.plain_cut import PlainCut, cut_plainly
from tests.latency.systems import analytical_system, drawn

SPACE = load_space("tiny")


@pytest.fixture
def store(tmp_path: Path) -> LutStore:
    return LutStore(tmp_path / "lut.db")


@pytest.mark.parametrize("corrections", [Corrections(), Corrections(SideCorrection(residual=0.5))])
def test_networks_of_a_space_are_predicted_as_the_spaces_own_predictor_has_them(
    store: LutStore, corrections: Corrections
) -> None:
    system, some = analytical_system(), drawn(SPACE, 6)
    whole = NetworkPredictor(system, store, corrections=corrections).predict([describe(SPACE, a) for a in some])
    units = SystemPredictor(SPACE, system, store, corrections=corrections)
    for i, architecture in enumerate(some):
        expected = units.predict_one(architecture)
        for field in fields(expected):
            assert getattr(whole, field.name)[i] == pytest.approx(getattr(expected, field.name)[0], rel=1e-9), field


def test_a_side_with_nothing_to_do_takes_no_time(store: LutStore) -> None:
    whole = SPACE.largest(2)
    ends = [cut_plainly(SPACE, whole, PlainCut(boundary)) for boundary in (0, whole.units)]
    found = NetworkPredictor(analytical_system(), store).predict(ends)
    assert found.sensor_us[0] == found.aggregator_us[1] == 0
    assert np.all(found.total_us == found.sensor_us + found.link_us + found.aggregator_us)


def test_narrowing_what_crosses_costs_a_kernel_and_saves_bytes(store: LutStore) -> None:
    cuts = [cut_plainly(SPACE, SPACE.largest(2), PlainCut(2, dtype)) for dtype in ("float32", "uint8")]
    wide, narrow = (NetworkPredictor(analytical_system(), store).predict([cut]) for cut in cuts)
    assert narrow.payload_bytes[0] * 4 == wide.payload_bytes[0]
    assert narrow.link_us[0] < wide.link_us[0]
    assert narrow.sensor_us[0] > wide.sensor_us[0]
