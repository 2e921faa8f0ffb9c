"""A kind of device from another repository: a package of its own, found through its entry point."""

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from splitkit.devices import device_kinds, get_device
from splitkit.errors import ConfigError
from splitkit.exporters.tvm import TvmExporter
from splitkit.profiles import load_device
from tests.compiler.graphs import GRAPHS, random_inputs

PYPROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "splitkit-theirs"
version = "0.1"

[project.entry-points."splitkit.devices"]
theirs = "splitkit_theirs:TheirBoard"

[tool.setuptools]
py-modules = ["splitkit_theirs"]
"""

MODULE = '''
"""A board that is this machine after all."""

from splitkit.devices.host import HostDevice


class TheirBoard(HostDevice):
    def label(self):
        return "measured on a board of theirs"
'''

PROFILE = """
name = "their-board"
kind = "theirs"
threads = 1
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    source, site = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    (source / "pyproject.toml").write_text(PYPROJECT)
    (source / "splitkit_theirs.py").write_text(MODULE)
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(site), str(source)], check=True, capture_output=True)
    patch = pytest.MonkeyPatch()
    patch.syspath_prepend(str(site))
    importlib.invalidate_caches()
    yield
    patch.undo()


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    file = tmp_path / "their-board.toml"
    file.write_text(PROFILE)
    return file


def test_without_the_package_it_is_not_there(profile: Path) -> None:
    with pytest.raises(ConfigError, match="no device kind is called 'theirs'"):
        get_device(load_device(str(profile)))


@pytest.mark.usefixtures("installed")
def test_it_is_found_and_runs_what_was_compiled_for_it(profile: Path, tmp_path: Path) -> None:
    assert "theirs" in device_kinds()
    device = get_device(load_device(str(profile)))
    assert device.label() == "measured on a board of theirs"
    model = GRAPHS["residual"]()
    artifact = TvmExporter().compile(model, device.target(), tmp_path / "compiled")
    found = device.open(artifact).run(random_inputs(model, 0))
    assert all(np.isfinite(value).all() and value.std() > 0 for value in found.values())
    assert device.time_graph(artifact, repeats=5).undisturbed > 0
