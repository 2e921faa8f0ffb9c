"""Installing prints nothing that a newcomer has to wonder about."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BUILT = ("splitkit", "exporters", "profiles", "pyproject.toml", "README.md", "LICENSE")


@pytest.mark.parametrize("hook", ["build_editable", "build_wheel"])
def test_building_the_package_prints_no_warning(tmp_path: Path, hook: str) -> None:
    """`pip install -e .`, as `make` does it, and `pip install .` call these hooks; pip shows what they say with -v."""
    source = tmp_path / "source"
    source.mkdir()
    for name in BUILT:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, source)
    program = f"from setuptools import build_meta\nbuild_meta.{hook}({str(tmp_path)!r})"
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}  # of which it would warn
    command = [sys.executable, "-W", "default", "-c", program]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=source, env=environment, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.glob("splitkit-*.whl"))
    said = done.stdout + done.stderr
    assert [line for line in said.splitlines() if "warning" in line.lower() or "deprecat" in line.lower()] == []
