"""One project with every step behind it, to copy from and to compare with."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.reliability.projects import write_project
from tests.reliability.victim import finish


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project trained, searched and exported without any trouble."""
    directory = write_project(tmp_path_factory.mktemp("undisturbed") / "p")
    finish(directory, "train")
    finish(directory, "search")
    finish(directory, "export", "--split", "r", "-o", "bundle")
    return directory


@pytest.fixture
def project(tmp_path: Path, undisturbed: Path) -> Callable[..., Path]:
    """A fresh project with only the files of the undisturbed one that are named."""

    def make(*files: str, system: str = "hmd") -> Path:
        directory = write_project(tmp_path / f"p{len(list(tmp_path.iterdir()))}" / "p", system)
        for name in files:
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(undisturbed / name, directory / name)
        return directory

    return make
