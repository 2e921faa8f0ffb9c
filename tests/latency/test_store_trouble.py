"""A table that cannot be used now is not called anything else than that."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import splitkit.latency.store
from splitkit.errors import ConfigError, StorageError
from splitkit.latency.store import LutStore


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


def test_the_same_fault_has_the_same_exit_code_everywhere() -> None:
    assert (StorageError.exit_code, ConfigError.exit_code) == (1, 2)
