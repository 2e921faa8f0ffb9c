"""`splitkit search --ray`: what it writes is what a search without it writes, and it leaves nothing running."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner

from splitkit.cli.main import main
from splitkit.training.ray_cluster import SHORT
from tests.report.runs import SPACE

ROOT = Path(__file__).parents[2]
WITHOUT_RAY = "import sys; sys.modules['ray'] = None; from splitkit.cli.main import main; main()"
SETTINGS = """
run = "r"
space = "small.toml"
system = "hmd"
[train]
steps = 2
batch = 8
[search]
population = 6
generations = 2
feedback_rounds = 0
finalists = 1
finalist_steps = 1
"""

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="pip install 'splitkit[ray]'")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("ray")
    (directory / "small.toml").write_text(SPACE)
    (directory / "splitkit.toml").write_text(SETTINGS)
    before = Path.cwd()
    os.chdir(directory)
    try:
        result = CliRunner().invoke(main, ["train"])
    finally:
        os.chdir(before)
    assert result.exit_code == 0, result.output
    return directory


@pytest.fixture
def project(trained: Path, tmp_path: Path) -> Path:
    return shutil.copytree(trained, tmp_path / "project")


def started(project: Path, *python: str) -> subprocess.Popen[str]:
    """Python in the project, in a process that loads this splitkit."""
    return subprocess.Popen(
        [sys.executable, *python], cwd=project, env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def test_without_ray_one_line_says_what_to_install(project: Path) -> None:
    process = started(project, "-c", WITHOUT_RAY, "search", "--ray", "local")
    out, err = process.communicate()
    assert process.returncode == 1
    assert out == ""
    assert err.strip().splitlines()[-1].startswith("splitkit: Ray cannot be used")
    assert err.strip().endswith("(pip install 'splitkit[ray]')")


def test_a_replay_needs_no_cluster() -> None:
    result = CliRunner().invoke(main, ["search", "--replay", "--ray", "local"])
    assert result.exit_code == 2
    assert "leave --ray out" in result.output


@needs_ray
@pytest.mark.slow
def test_the_files_are_those_of_a_search_in_one_process(project: Path) -> None:
    shutil.copytree(project / "runs/r", project / "runs/alone")
    process = started(project, "-m", "splitkit", "search", "--ray", "local", "--json")
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert "scoring on a Ray cluster" in err
    alone = started(project, "-m", "splitkit", "search", "--run", "alone")
    assert alone.wait() == 0
    alone.communicate()
    for name in ("search.jsonl", "pareto.json"):
        assert (project / "runs/r" / name).read_bytes() == (project / "runs/alone" / name).read_bytes(), name
    assert json.loads(out)["fronts"] == json.loads((project / "runs/r/pareto.json").read_text())["fronts"]


@needs_ray
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", ["gcs_server", "ray::DashboardAgent", "ray::_score"])
def test_stopped_it_leaves_nothing_running(project: Path, number: signal.Signals, moment: str) -> None:
    process = started(project, "-m", "splitkit", "search", "--ray", "local")
    seen: set[psutil.Process] = set()
    while not any(child.is_running() and child.name().startswith(moment[:15]) for child in seen):
        assert process.poll() is None, process.communicate()
        seen.update(psutil.Process(process.pid).children(recursive=True))
        time.sleep(0.02)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number, err
    assert "Traceback" not in err
    psutil.wait_procs(seen, timeout=5)
    assert [child for child in seen if child.is_running()] == []
    assert list(SHORT.glob(".ray.splitkit-*")) == []
