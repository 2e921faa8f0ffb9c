"""A run's commands share what is known of a data set that is too large for memory."""

import os
from pathlib import Path

import pytest
import torch
from PIL import Image

from splitkit.data import folder, headers
from splitkit.data.files import FileSamples
from splitkit.project import Run, load_project
from splitkit.project.steps import load_data
from tests.report.runs import SPACE

SETTINGS = 'run = "r"\nspace = "small.toml"\nsystem = "hmd"\n[data]\nsource = "pictures"\n'


def test_the_index_lies_in_the_run_and_serves_its_next_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for part in ("train", "val"):
        for label, name in enumerate(("ant", "bee", "cow")):
            (tmp_path / "pictures" / part / name).mkdir(parents=True)
            for i in range(5):
                file = tmp_path / "pictures" / part / name / f"{i}.png"
                Image.new("L", (32, 32), 80 * label + i).save(file)
                os.utime(file, ns=(10**18, 10**18))
    (tmp_path / "small.toml").write_text(SPACE.replace("classes = 10", "classes = 3"))
    (tmp_path / "splitkit.toml").write_text(SETTINGS)
    monkeypatch.setitem(folder.load.__kwdefaults__, "memory_bytes", 0)
    project = load_project(tmp_path / "splitkit.toml")
    first = load_data(project, project.load_space())
    assert isinstance(first.train, FileSamples)
    assert Run.of(project).pictures == tmp_path / "runs/r/pictures.db"
    Run.of(project).forget()
    assert Run.of(project).pictures.is_file()
    monkeypatch.delattr(headers, "look_at_header")  # a file that is looked at again is an error
    second = load_data(project, project.load_space())
    assert torch.equal(first.train.take(torch.arange(4)).images, second.train.take(torch.arange(4)).images)
