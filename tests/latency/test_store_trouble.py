"""A table that cannot be used now is not called anything else than that."""

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

import splitkit.latency.store
from splitkit.cli.main import main
from splitkit.errors import ConfigError, StorageError
from splitkit.latency.store import LutStore
from tests.report.runs import finished

Fault = Callable[[Path], AbstractContextManager[None]]


def write(path: Path, limit: str = "foreign_keys = ON") -> None:
    with LutStore(path) as store:
        store._db.execute(f"PRAGMA {limit}")
        store.add_lowered("tvm", "v1", "host", {"x" * 100_000: []})


def read(path: Path) -> None:
    with LutStore(path) as store:
        store.lowered("tvm", "v1", "host", ["unit"])


def test_one_that_another_process_has_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    LutStore(tmp_path / "lut.db").close()
    monkeypatch.setattr(splitkit.latency.store, "BUSY_TIMEOUT_S", 0.05)
    with closing(sqlite3.connect(tmp_path / "lut.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StorageError, match=r"lut\.db: another process has kept it locked"):
            LutStore(tmp_path / "lut.db")


def test_one_that_is_read_only(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"lut\.db: is read-only"):
        write(tmp_path / "lut.db", "query_only = ON")


def test_one_on_a_full_disk(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no room on the disk"):
        write(tmp_path / "lut.db", "max_page_count = 1")


@pytest.mark.parametrize("place", ["file/lut.db", "folder"])
def test_one_that_cannot_be_there(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(StorageError, match=r"cannot be opened|unable to open"):
        LutStore(tmp_path / place)


def test_a_damaged_one_is_said_to_be_that(tmp_path: Path) -> None:
    path = tmp_path / "lut.db"
    write(path)
    path.write_bytes(path.read_bytes()[:8192] + b"\xff" * 200_000)
    with pytest.raises(ConfigError, match="not a lookup table, or damaged"):
        read(path)


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a run `made` that was searched, and a run `trained` that was not."""
    directory = tmp_path_factory.mktemp("project") / "p"
    project, _ = finished(directory, feedback_rounds=0)
    text = f'run = "{project.run}"\nspace = "{project.space}"\nsystem = "{project.system}"\n[train]\nbatch = 4\n'
    (directory / "splitkit.toml").write_text(text)
    config = str(directory / "splitkit.toml")
    result = CliRunner().invoke(main, ["train", "--config", config, "--run", "trained", "--steps", "1"])
    assert result.exit_code == 0, result.output
    return directory


def torn(table: Path) -> None:
    """A table that opens and fails once it is read."""
    content = bytearray(table.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    table.write_bytes(content)


@pytest.mark.parametrize("how", ["no table", "torn"])
def test_a_report_names_the_runs_own_table_and_says_what_mends_it(
    searched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    shutil.copytree(searched, tmp_path / "p")
    monkeypatch.chdir(tmp_path / "p")
    table = Path("runs/made/search-lut.db")
    for file in table.parent.glob(f"{table.name}-*"):
        file.unlink()
    table.write_bytes(b"no table, but long enough to be taken for one" * 100) if how == "no table" else torn(table)
    result = CliRunner().invoke(main, ["report", "made"])
    assert result.exit_code == 2, result.output
    line = result.stderr.strip().splitlines()[-1]
    assert line.startswith(f"splitkit: {table}: not a lookup table, or damaged")
    assert line.endswith("(run `splitkit search` again)")
    with LutStore("runs/lut.db") as store:
        store.backup(table)  # as a search begins
    LutStore(table).close()


def test_a_copy_that_cannot_be_written_is_not_called_damage_of_the_table(tmp_path: Path) -> None:
    with LutStore(tmp_path / "lut.db") as store:
        with pytest.raises(StorageError, match=r"none/copy\.db: unable to open it"):
            store.backup(tmp_path / "none" / "copy.db")
        (tmp_path / "copy.db").write_bytes(b"an older copy, damaged" * 300)
        store.backup(tmp_path / "copy.db")
    LutStore(tmp_path / "copy.db").close()


@contextmanager
def locked(table: Path) -> Iterator[None]:
    LutStore(table).close()
    with closing(sqlite3.connect(table, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield


@contextmanager
def damaged(table: Path) -> Iterator[None]:
    table.write_bytes(b"no table, but long enough to be taken for one" * 100)
    yield


@contextmanager
def a_folder(table: Path) -> Iterator[None]:
    table.unlink(missing_ok=True)
    table.mkdir()
    yield


@pytest.mark.parametrize(("fault", "code"), [(locked, 1), (a_folder, 1), (damaged, 2)])
def test_the_same_fault_has_the_same_exit_code_in_every_command(
    searched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Fault, code: int
) -> None:
    assert (StorageError.exit_code, ConfigError.exit_code) == (1, 2)
    shutil.copytree(searched, tmp_path / "p")
    monkeypatch.chdir(tmp_path / "p")
    monkeypatch.setattr(splitkit.latency.store, "BUSY_TIMEOUT_S", 0.05)
    commands = {"runs/lut.db": [("bench", "--target", "sensor", "--budget", "1s"), ("search", "--run", "trained")]}
    commands["runs/made/search-lut.db"] = [("report", "made")] if fault is not locked else []  # it reads a copy
    for table, each in commands.items():
        for file in Path(table).parent.glob(f"{Path(table).name}-*"):
            file.unlink()
        with fault(Path(table)):
            for command in each:
                result = CliRunner().invoke(main, list(command))
                assert (command, result.exit_code) == (command, code), result.output
                assert Path(table).name in result.stderr.strip().splitlines()[-1]
