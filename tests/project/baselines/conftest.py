"""A finished search to compare with other ways: digits, a supernet trained for twelve steps, an analytical headset."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from splitkit.cli.main import main
from splitkit.data import Dataset
from splitkit.project import Project, load_project
from splitkit.project.steps import baselines_step
from splitkit.search.baselines import Baselines
from tests.report.runs import SPACE

SETTINGS = """
run = "r"
space = "small.toml"
system = "hmd"
[data]
search_images = 80
[train]
steps = 12
batch = 16
fine_tune_steps = 4
[search]
population = 6
generations = 2
feedback_rounds = 1
measured_per_round = 2
finalists = 1
finalist_steps = 1
"""


def refuse(*_: Any) -> Any:
    raise AssertionError("the test set was opened")


@pytest.fixture(scope="session")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a finished search."""
    directory = tmp_path_factory.mktemp("baselines")
    (directory / "small.toml").write_text(SPACE)
    (directory / "splitkit.toml").write_text(SETTINGS)
    before = Path.cwd()
    os.chdir(directory)
    try:
        for name in ("train", "search"):
            result = CliRunner().invoke(main, [name])
            assert result.exit_code == 0, result.output
    finally:
        os.chdir(before)
    return directory


@pytest.fixture(scope="session")
def compared(searched: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Baselines]:
    """The same with every row, the test set never opened."""
    directory = shutil.copytree(searched, tmp_path_factory.mktemp("compared") / "project")
    project = load_project(directory / "splitkit.toml")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Dataset, "test", property(refuse))
        return project, baselines_step(project)


@pytest.fixture
def copy(searched: Path, tmp_path: Path) -> Project:
    """A finished search of the test's own."""
    return load_project(shutil.copytree(searched, tmp_path / "project") / "splitkit.toml")
