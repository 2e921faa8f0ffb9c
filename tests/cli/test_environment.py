"""Environments that are short of something: no home, no name, no UTF-8 in a path."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from splitkit.home import lent_home
from tests.bundle.bundles import exported
from tests.reliability.projects import write_project
from tests.report.runs import finished

ROOT = Path(__file__).parents[2]
NAMELESS = ("setpriv", "--reuid", "54321", "--regid", "54321", "--clear-groups")
READ_ANYTHING = "+dac_override,+dac_read_search"  # the interpreter may be in a private directory


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="only the superuser can become nobody")
def test_a_user_without_home_and_name_can_compile_and_run(tmp_path: Path) -> None:
    rights = ("--inh-caps", READ_ANYTHING, "--ambient-caps", READ_ANYTHING)
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*NAMELESS, *rights, sys.executable, "-m", "splitkit", "doctor", "--json"],
        capture_output=True, text=True, check=False, env=environment, cwd=tmp_path,
    )  # fmt: skip
    assert done.stderr == ""
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert checks["compile and run a kernel"]["detail"] == "works"


@pytest.mark.parametrize(("given", "expected"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_threads_that_wait_leave_their_core_to_others_unless_told_otherwise(given: str | None, expected: str) -> None:
    """OpenMP reads it once, when torch is imported: it has to be set by then."""
    program = (
        "import os, sys\n"
        "from splitkit.cli.main import main\n"
        "main(['profiles', 'list', '--json'], standalone_mode=False)\n"
        "assert 'torch' not in sys.modules\n"
        "print(os.environ['OMP_WAIT_POLICY'], file=sys.stderr)\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    environment |= {} if given is None else {"OMP_WAIT_POLICY": given}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT, env=environment
    )
    assert done.stderr.splitlines()[-1] == expected


def test_what_is_there_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("LOGNAME", "someone")
    monkeypatch.delenv("MPLCONFIGDIR", raising=False)
    before = dict(os.environ)
    with lent_home(tmp_path):
        assert dict(os.environ) == before


def test_a_home_that_is_not_there_lends_caches_for_the_time_being(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "nowhere"))
    monkeypatch.delenv("MPLCONFIGDIR", raising=False)
    with lent_home(tmp_path):
        assert os.environ["MPLCONFIGDIR"].startswith(str(tmp_path))
    assert "MPLCONFIGDIR" not in os.environ


def test_paths_that_are_not_utf8(tmp_path: Path) -> None:
    strange = os.fsdecode(b"na\xefve")
    project, _ = finished(tmp_path / strange, feedback_rounds=0)
    folder = tmp_path / strange
    (folder / "splitkit.toml").write_text(
        f'run = "{project.run}"\nspace = "{project.space}"\nsystem = "{project.system}"'
    )
    done = splitkit(folder, "report", project.run, "-o", strange, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["page"] == f"{strange}/report.html"
    assert (folder / strange / "report.html").is_file()
    done = splitkit(folder, "bench", strange)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)


def test_a_bundles_place_that_compilers_cannot_take_is_found_before_anything_else(tmp_path: Path) -> None:
    strange = os.fsdecode(b"na\xefve")
    project, _ = finished(tmp_path / "p", feedback_rounds=0)  # never trained, which would be found next
    done = splitkit(project.root, "export", "--split", project.run, "-o", strange, "--space", project.space)
    assert done.returncode == 1
    assert done.stderr == "splitkit: 'na\\udcefve': is not UTF-8, which compilers need (choose another name)\n"
    assert not (project.root / strange).exists()


@pytest.mark.slow
def test_a_path_that_compilers_cannot_take_is_one_line(tmp_path: Path) -> None:
    strange = os.fsdecode(b"na\xefve")
    directory = write_project(tmp_path / "p", "demo")
    shutil.copytree(exported(2, "uint8", 1, "tvm").path, directory / strange)
    done = splitkit(directory, "bench", strange, "--frames", "10")
    assert done.returncode in (1, 2)
    assert "Traceback" not in done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("splitkit: ")


def splitkit(directory: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "splitkit", *arguments], capture_output=True, text=True, check=False, cwd=directory,
        env=os.environ | {"PYTHONPATH": str(ROOT)}, errors="surrogateescape",
    )  # fmt: skip
