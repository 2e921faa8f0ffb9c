"""The picture of a model's cuts."""

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from splitkit.errors import ConfigError
from splitkit.latency.store import LutStore
from splitkit.partition import Partition, partition
from splitkit.report.cuts import draw_cuts
from tests.bundle.plain_models import residual
from tests.latency.systems import analytical_system


@pytest.fixture
def found(tmp_path: Path) -> Partition:
    with LutStore(tmp_path / "lut.db") as store:
        return partition(residual(), analytical_system(), store, name="mine$x$.onnx", measure=1)


def test_every_stage_is_in_it_and_it_may_be_drawn_again(found: Partition, tmp_path: Path) -> None:
    path = tmp_path / "pictures/cuts.png"
    unfit = replace(found, options=tuple(replace(option, fits=False) for option in found.options))
    for each in (found, unfit):
        draw_cuts(each, path)
        with Image.open(path) as image:
            assert image.info["Software"] == "splitkit"
            colours = {pixel for _, pixel in image.convert("RGB").getcolors(1 << 20) or []}
        assert (0x1F, 0x63, 0xB5) in colours  # the aggregator's, of which every option has some
    assert {file.name for file in path.parent.iterdir()} == {"cuts.png"}


def test_a_picture_of_somebody_else_stays(found: Partition, tmp_path: Path) -> None:
    path = tmp_path / "holiday.png"
    Image.new("RGB", (4, 4)).save(path)
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=r"holiday\.png"):
        draw_cuts(found, path)
    assert path.read_bytes() == before
