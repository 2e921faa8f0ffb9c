"""Files that a data set goes without are named, but never page after page."""

from pathlib import Path

import pytest
from PIL import Image

from splitkit.project import Project
from splitkit.project.config import DataSection
from splitkit.project.steps.data import load_data
from tests.networks import space_of


@pytest.mark.parametrize(
    ("damaged", "last"), [(0, None), (20, "left out: "), (21, "left out: 1 more"), (45, "left out: 25 more")]
)
def test_twenty_are_named_and_the_rest_is_counted(tmp_path: Path, damaged: int, last: str | None) -> None:
    for split in ("train", "val"):
        for label in range(10):
            folder = tmp_path / split / str(label)
            folder.mkdir(parents=True)
            for i in range(8):
                Image.new("L", (32, 32), 20 * label + i).save(folder / f"{i}.png")
    for i in range(damaged):
        (tmp_path / "train" / str(i % 10) / f"broken{i:02}.png").write_bytes(b"no picture")
    said: list[str] = []
    load_data(
        Project(space="tiny", system="demo", data=DataSection(source=str(tmp_path))), space_of("tiny"), said.append
    )
    assert len(said) == min(damaged, 21)
    assert all("broken" in line and line.startswith("left out: ") for line in said[:20])
    if last is not None:
        assert said[-1].startswith(last)
        assert ("more" in said[-1]) == (damaged > 20)
