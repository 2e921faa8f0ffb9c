"""The store keeps one row per kernel and condition, whoever writes and however they end."""

import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from splitkit.compiler.kernel import Kernel
from splitkit.errors import ConfigError
from splitkit.latency.rows import Conditions, GraphTime, HopConditions, HopTime, KernelTime
from splitkit.latency.store import LutStore

CONDITIONS = Conditions("cpu", "tvm", "v1", "host", "in_situ")
HOP = HopConditions("cpu", "cpu", 1, "spi", "native 1", "2 of 2 processes poll")

FIRST_VERSION = """
CREATE TABLE conditions (id INTEGER PRIMARY KEY, fingerprint TEXT NOT NULL, exporter TEXT NOT NULL,
    version TEXT NOT NULL, target TEXT NOT NULL, cache_mode TEXT NOT NULL,
    UNIQUE (fingerprint, exporter, version, target, cache_mode));
CREATE TABLE kernels (exporter TEXT NOT NULL, key TEXT NOT NULL, label TEXT NOT NULL, family TEXT NOT NULL,
    macs INTEGER NOT NULL, read_bytes INTEGER NOT NULL, write_bytes INTEGER NOT NULL, weight_bytes INTEGER NOT NULL,
    payload TEXT NOT NULL, PRIMARY KEY (exporter, key)) WITHOUT ROWID;
CREATE TABLE sessions (id INTEGER PRIMARY KEY, condition INTEGER NOT NULL REFERENCES conditions (id),
    started_at REAL NOT NULL);
CREATE TABLE anchors (session INTEGER NOT NULL REFERENCES sessions (id), at REAL NOT NULL, kernel TEXT NOT NULL,
    us REAL NOT NULL);
CREATE TABLE measurements (condition INTEGER NOT NULL REFERENCES conditions (id), kernel TEXT NOT NULL,
    us REAL NOT NULL, variance REAL NOT NULL, samples INTEGER NOT NULL, drift REAL NOT NULL,
    session INTEGER NOT NULL REFERENCES sessions (id), PRIMARY KEY (condition, kernel)) WITHOUT ROWID;
CREATE TABLE lowered (exporter TEXT NOT NULL, version TEXT NOT NULL, target TEXT NOT NULL, unit TEXT NOT NULL,
    kernels TEXT NOT NULL, PRIMARY KEY (exporter, version, target, unit)) WITHOUT ROWID;
CREATE TABLE graphs (condition INTEGER NOT NULL REFERENCES conditions (id), digest TEXT NOT NULL,
    kernels INTEGER NOT NULL, kernel_us REAL NOT NULL, total_us REAL NOT NULL, variance REAL NOT NULL,
    PRIMARY KEY (condition, digest)) WITHOUT ROWID;
CREATE TABLE observations (system TEXT NOT NULL, architecture TEXT NOT NULL, at REAL NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (system, architecture)) WITHOUT ROWID;
INSERT INTO conditions VALUES (1, 'cpu', 'tvm', 'v1', 'host', 'in_situ');
INSERT INTO sessions VALUES (1, 1, 0.0);
INSERT INTO anchors VALUES (1, 0.0, 'a', 2.0);
INSERT INTO measurements VALUES (1, 'a', 5.0, 0.01, 20, 1.01, 1);
INSERT INTO graphs VALUES (1, 'digest', 3, 10.0, 11.0, 0.1);
PRAGMA user_version = 1;
"""
"""A table as splitkit 0.1 wrote it."""


def kernel(key: str) -> Kernel:
    return Kernel(key, f"label of {key}", "pointwise", 10, 20, 30, 40, "{}")


def add(store: LutStore, *times: KernelTime) -> int:
    condition = store.condition(CONDITIONS)
    store.add_times(condition, store.start_session(condition), times)
    return condition


def test_rows_survive_reopening(tmp_path: Path) -> None:
    with LutStore(tmp_path / "lut.db") as store:
        store.add_kernels("tvm", [kernel("a")])
        add(store, KernelTime("a", 5.0, 0.01, 20, 1.01))
    with LutStore(tmp_path / "lut.db") as store:
        assert store.times(store.condition(CONDITIONS)) == {"a": KernelTime("a", 5.0, 0.01, 20, 1.01)}
        assert store.kernels("tvm", ["a", "unknown"]) == {"a": kernel("a")}
        assert store.all_conditions() == [(CONDITIONS, 1)]


def test_a_kernel_measured_again_keeps_one_row_weighted_by_precision(tmp_path: Path) -> None:
    store = LutStore(tmp_path / "lut.db")
    add(store, KernelTime("a", 10.0, 0.0, 20))
    condition = add(store, KernelTime("a", 20.0, 1e6, 20), KernelTime("a", 10.0, 0.0, 5))
    (row,) = store.times(condition).values()
    assert row.value == pytest.approx(10.0, rel=0.01)
    assert row.samples == 45


def test_other_conditions_are_other_rows(tmp_path: Path) -> None:
    store = LutStore(tmp_path / "lut.db")
    add(store, KernelTime("a", 10.0, 0.0, 20))
    for change in (
        {"version": "v2"},
        {"fingerprint": "other cpu"},
        {"target": "2 threads"},
        {"cache_mode": "rotation"},
    ):
        other = Conditions(**{**vars(CONDITIONS), **change})
        assert store.times(store.condition(other)) == {}


def test_more_keys_than_a_query_can_bind(tmp_path: Path) -> None:
    store = LutStore(tmp_path / "lut.db")
    keys = [f"k{i}" for i in range(1234)]
    condition = add(store, *(KernelTime(key, 1.0, 0.0, 1) for key in keys))
    assert set(store.times(condition, keys)) == set(keys)


def test_graphs_anchors_and_lowered_units_come_back(tmp_path: Path) -> None:
    store = LutStore(tmp_path / "lut.db")
    condition = store.condition(CONDITIONS)
    graph = GraphTime("digest", 3, 10.0, 11.0, 0.1)
    store.add_graph(condition, graph)
    store.add_graph(condition, graph)
    assert store.graphs(condition) == [graph]
    assert store.anchors(condition) is None
    session = store.start_session(condition)
    store.add_anchor(session, "a", 2.0)
    store.add_anchor(session, "a", 3.0)
    assert store.anchors(condition) == ("a", [2.0, 3.0])
    store.add_lowered("tvm", "v1", "host", {"unit": [kernel("a"), kernel("a")], "empty": []})
    assert store.lowered("tvm", "v1", "host", ["unit", "empty", "new"]) == {"unit": ("a", "a"), "empty": ()}
    assert store.lowered("tvm", "v2", "host", ["unit"]) == {}


def test_a_failed_transaction_leaves_nothing(tmp_path: Path) -> None:
    store = LutStore(tmp_path / "lut.db")

    def fail_half_way() -> None:
        with store.transaction():
            add(store, KernelTime("a", 10.0, 0.0, 20))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert store.times(store.condition(CONDITIONS)) == {}


def _write(path: Path, start: int) -> None:
    with LutStore(path) as store:
        for i in range(40):
            add(store, KernelTime(f"k{(start + i) % 50}", 1.0, 0.0, 1))


def test_two_processes_build_one_table(tmp_path: Path) -> None:
    path = tmp_path / "lut.db"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write, args=(path, start)) for start in (0, 10)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0]
    with LutStore(path) as store:
        times = store.times(store.condition(CONDITIONS))
        assert sum(time.samples for time in times.values()) == 80
        assert len(times) == 50
        assert len(store.all_conditions()) == 1


KILLED_WRITER = """
import sys, time
from splitkit.latency.rows import Conditions, KernelTime
from splitkit.latency.store import LutStore
store = LutStore(sys.argv[1])
condition = store.condition(Conditions("cpu", "tvm", "v1", "host", "in_situ"))
session = store.start_session(condition)
store.add_times(condition, session, [KernelTime("kept", 1.0, 0.0, 1)])
with store.transaction():
    store.add_times(condition, session, [KernelTime("lost", 1.0, 0.0, 1)])
    print("ready", flush=True)
    time.sleep(60)
"""


def test_a_killed_writer_loses_only_its_open_transaction(tmp_path: Path) -> None:
    path = tmp_path / "lut.db"
    with subprocess.Popen(
        [sys.executable, "-c", KILLED_WRITER, str(path)], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        os.kill(writer.pid, signal.SIGKILL)
    with LutStore(path) as store:
        assert set(store.times(store.condition(CONDITIONS))) == {"kept"}
        add(store, KernelTime("later", 1.0, 0.0, 1))


def test_a_file_that_is_not_a_table_is_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "lut.db"
    path.write_text("not a database, but long enough to be taken for one" * 10)
    with pytest.raises(ConfigError, match=r"lut\.db: not a lookup table"):
        LutStore(path)


def test_a_table_of_the_first_version_opens_with_its_rows_in_microseconds(tmp_path: Path) -> None:
    path = tmp_path / "lut.db"
    database = sqlite3.connect(path)
    database.executescript(FIRST_VERSION)
    database.close()
    for _ in range(2):  # migrated once, then opened as it is
        with LutStore(path) as store:
            medians = replace(CONDITIONS, version=f"{CONDITIONS.version}, medians")  # kept apart from rows of today
            condition = store.condition(medians)
            assert store.all_conditions() == [(medians, 1)]
            assert store.times(condition) == {"a": KernelTime("a", 5.0, 0.01, 20, 1.01)}
            assert store.graphs(condition) == [GraphTime("digest", 3, 10.0, 11.0, 0.1)]
            assert store.anchors(condition) == ("a", [2.0])
            store.replace_hop(HOP, [HopTime(256, 7.0, 0.1)])  # a table that it did not have


def test_what_a_runtime_adds_replaces_what_was_known_of_it(tmp_path: Path) -> None:
    path = tmp_path / "lut.db"
    other = replace(HOP, runtime="python 1")
    with LutStore(path) as store:
        for times in ([HopTime(256, 7.0, 0.1), HopTime(9216, 9.0, 0.2)], [HopTime(1024, 8.0, 0.1)]):
            store.replace_hop(HOP, times)
    with LutStore(path) as store:
        assert store.last_hop("cpu", "cpu", 1, "spi") == (HOP, [HopTime(1024, 8.0, 0.1)])
        store.replace_hop(other, [HopTime(256, 90.0, 20.0)])
        assert store.last_hop("cpu", "cpu", 1, "spi") == (other, [HopTime(256, 90.0, 20.0)])
        assert store.last_hop("cpu", "cpu", 2, "spi") is None


def test_rows_in_instructions_are_under_a_condition_that_says_so(tmp_path: Path) -> None:
    store = LutStore(tmp_path / "lut.db")
    counted = replace(CONDITIONS, fingerprint="board", unit="instructions")
    condition = store.condition(counted)
    store.add_times(condition, store.start_session(condition), [KernelTime("a", 123456789.0, 0.0, 1)])
    assert store.all_conditions() == [(counted, 1)]


def test_a_count_measured_again_is_exactly_the_same_count(tmp_path: Path) -> None:
    store = LutStore(tmp_path / "lut.db")
    for _ in range(3):
        condition = add(store, KernelTime("a", 1234567.0, 0.0, 1), KernelTime("none", 0.0, 0.0, 1))
    times = store.times(condition)
    assert (times["a"].value, times["none"].value) == (1234567.0, 0.0)


def test_a_table_of_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "lut.db"
    LutStore(path).close()
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(ConfigError, match="user_version 99, this splitkit reads"):
        LutStore(path)


def test_kernels_of_the_fourth_version_are_told_what_they_write(tmp_path: Path) -> None:
    path = tmp_path / "lut.db"
    payloads = {
        "conv": '{"kind": "pointwise"}',
        "cast": '{"dtype": "uint8", "kind": "elementwise"}',
        "resize": '{"dtype": "uint8", "kind": "resize"}',  # of its input: it writes float32
        "fallback": '{"dtypes": ["float32", "int64"], "kind": "fallback"}',
        "foreign": "not JSON",
    }
    with closing(sqlite3.connect(path)) as database:
        database.executescript(FIRST_VERSION)
        rows = [("x", key, key, "family", 1, 1, 1, 1, payload) for key, payload in payloads.items()]
        database.executemany("INSERT INTO kernels VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
        database.commit()
    with LutStore(path) as store:
        found = {key: kernel.dtype for key, kernel in store.kernels("x").items()}
        assert found == dict.fromkeys(payloads, "float32") | {"cast": "uint8", "fallback": "int64"}
        store.add_kernels("x", [replace(kernel("new"), dtype="int8")])
        assert store.kernels("x", ["new"])["new"].dtype == "int8"
