"""Files and directories that are not meant to stay, and who may sweep them."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from splitkit.scratch import exchange, replacing, scratch_directory, sweep, temporary_files

OWNER = """
import sys, time
from pathlib import Path
from splitkit.scratch import replacing, scratch_directory
here = Path(sys.argv[1])
with scratch_directory(here, "bundle") as made, replacing(here / "table.json") as partial:
    (made / "half").write_text("half")
    partial.write_text("half")
    print("ready", flush=True)
    time.sleep(1000)
"""


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    file = tmp_path / "table.json"
    with replacing(file) as partial:
        partial.write_text("first")
    assert file.read_text() == "first"
    assert file.stat().st_mode & 0o777 == 0o666 & ~_umask()
    with pytest.raises(UnicodeEncodeError), replacing(file) as partial:
        partial.write_text("sec\udcff")
    assert file.read_text() == "first"
    assert names(tmp_path) == ["table.json"]


def test_what_a_killed_process_left_is_swept_and_what_a_living_one_uses_is_not(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", OWNER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "ready\n"
        before = names(tmp_path)
        assert len(before) == 2
        sweep(tmp_path)
        assert names(tmp_path) == before
        owner.send_signal(signal.SIGKILL)
    assert names(tmp_path) == before
    with scratch_directory(tmp_path, "other"):
        assert len(names(tmp_path)) == 1
    assert names(tmp_path) == []


def test_nothing_that_splitkit_did_not_make_is_swept(tmp_path: Path) -> None:
    kept = [
        "splitkit-run-notes",
        ".bundle.backup",
        ".bundle.splitkit",
        "x.splitkit-0123456789ab",
        "splitkit-0123456789ab",
    ]
    for name in kept:
        (tmp_path / name).mkdir()
    (tmp_path / "precious").write_text("precious")
    (tmp_path / ".bundle.splitkit-0123456789ab").symlink_to(tmp_path)
    sweep(tmp_path)
    assert names(tmp_path) == sorted([*kept, "precious", ".bundle.splitkit-0123456789ab"])


def test_temporary_files_of_children_too_go_to_one_directory_that_is_removed() -> None:
    before = tempfile.gettempdir(), os.environ.get("TMPDIR")
    with temporary_files():
        made = Path(tempfile.mkdtemp())
        child = [sys.executable, "-c", "import tempfile; print(tempfile.mkdtemp())"]
        theirs = Path(subprocess.run(child, capture_output=True, text=True, check=True).stdout.strip())
        assert made.parent == theirs.parent
        assert made.parent.parent == Path(before[0])
    assert not made.parent.exists()
    assert (tempfile.gettempdir(), os.environ.get("TMPDIR")) == before


@pytest.mark.parametrize("at_once", [True, False])
def test_two_directories_exchange_their_names(tmp_path: Path, at_once: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not at_once:
        monkeypatch.setattr("ctypes.CDLL", lambda name: object())
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"was {name}").touch()
    exchange(tmp_path / "a", tmp_path / "b")
    assert (names(tmp_path), names(tmp_path / "a"), names(tmp_path / "b")) == (["a", "b"], ["was b"], ["was a"])


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
