"""The latency lookup table: an SQLite file of kernels, their measurements and the conditions those were taken under.

Write-ahead logging and upserts let several processes build one table at once; a killed one loses at most the
transaction it was in. Rows are of the hardware itself, in the unit their condition states (microseconds, or counted
instructions): a profile's `us_per_unit` is applied when they are read.
"""

import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, astuple
from pathlib import Path
from typing import Any, Self

from splitkit.compiler.kernel import Kernel
from splitkit.errors import ConfigError, SplitkitError, StorageError, reason
from splitkit.latency.rows import Conditions, GraphTime, HopConditions, HopTime, KernelTime
from splitkit.latency.schema import MIGRATIONS, SCHEMA, SCHEMA_VERSION

BUSY_TIMEOUT_S = 60.0
VARIABLES_PER_QUERY = 500

BETWEEN_NOISE = 0.02
"""Relative standard deviation between two measurements of one kernel, taken in different places."""

_UNAVAILABLE = {
    sqlite3.SQLITE_BUSY: (f"another process has kept it locked for {BUSY_TIMEOUT_S:g} s", "wait for it, or end it"),
    sqlite3.SQLITE_LOCKED: (f"another process has kept it locked for {BUSY_TIMEOUT_S:g} s", "wait for it, or end it"),
    sqlite3.SQLITE_PERM: ("permission denied", "it has to be writable, as has its directory"),
    sqlite3.SQLITE_READONLY: ("is read-only", "it has to be writable, as has its directory"),
    sqlite3.SQLITE_CANTOPEN: ("unable to open it", "it has to be a writable file in a writable directory"),
    sqlite3.SQLITE_FULL: ("there is no room on the disk", "free some and run it again"),
    sqlite3.SQLITE_IOERR: ("reading or writing failed", "is the disk full, or damaged?"),
}
"""What SQLite says of a file that may be a sound table all the same, and what helps."""


class LutStore:
    """One lookup table file; made if missing. Use from one thread; any number of processes may share the file.

    Raises:
        ConfigError: the file is not a lookup table, or one of another schema version.
        StorageError: it may well be one, but cannot be used now: read-only, locked, or the disk is full.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(self.path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.execute("PRAGMA foreign_keys = ON")
            self._create()
        except OSError as error:
            raise StorageError(f"{self.path}: cannot be opened: {reason(error)}") from error
        except sqlite3.DatabaseError as error:
            raise _failure(self.path, error) from error

    def _create(self) -> None:
        with self.transaction():
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            if version == 0 and not self._db.execute("SELECT 1 FROM sqlite_master").fetchone():
                self._become(SCHEMA_VERSION, SCHEMA)
            elif version in MIGRATIONS:
                for older in range(version, SCHEMA_VERSION):
                    self._become(older + 1, MIGRATIONS[older])
            elif version != SCHEMA_VERSION:
                raise ConfigError(
                    f"{self.path}: user_version {version}, this splitkit reads {SCHEMA_VERSION}",
                    "measure into a new file",
                )

    def _become(self, version: int, statements: str) -> None:
        """Run statements (one by one: a script would end the transaction) and state the version they lead to."""
        for statement in statements.split(";\n"):
            self._db.execute(statement)
        self._db.execute(f"PRAGMA user_version = {version}")

    def close(self) -> None:
        """Close the file. The store cannot be used afterwards."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        self.close()
        if isinstance(error, sqlite3.DatabaseError):
            raise _failure(self.path, error) from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything written inside is kept, or nothing. Nested use joins the outer transaction."""
        if self._in_transaction():
            yield
            return
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            if self._in_transaction():  # a full disk has ended it already
                self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def _in_transaction(self) -> bool:
        return self._db.in_transaction

    def condition(self, conditions: Conditions) -> int:
        """The row number of `conditions`, added if new."""
        values = tuple(asdict(conditions).values())
        where = " AND ".join(f"{name} = ?" for name in asdict(conditions))
        row = self._db.execute(f"SELECT id FROM conditions WHERE {where}", values).fetchone()
        if row is None:
            names = ", ".join(asdict(conditions))
            self._db.execute(f"INSERT OR IGNORE INTO conditions ({names}) VALUES (?, ?, ?, ?, ?, ?)", values)
            row = self._db.execute(f"SELECT id FROM conditions WHERE {where}", values).fetchone()
        return int(row[0])

    def all_conditions(self) -> list[tuple[Conditions, int]]:
        """Every condition that has rows, with how many."""
        rows = self._db.execute(
            "SELECT fingerprint, exporter, version, target, cache_mode, unit, COUNT(*) FROM conditions"
            " JOIN measurements ON measurements.condition = conditions.id GROUP BY id ORDER BY id"
        )
        return [(Conditions(*row[:-1]), int(row[-1])) for row in rows]

    def add_kernels(self, exporter: str, kernels: Iterable[Kernel]) -> None:
        """Remember what kernels are; known ones are left alone."""
        rows = [(exporter, *asdict(kernel).values()) for kernel in kernels]
        with self.transaction():
            self._db.executemany("INSERT OR IGNORE INTO kernels VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)

    def kernels(self, exporter: str, keys: Iterable[str] | None = None) -> dict[str, Kernel]:
        """Known kernels of an exporter by key: all of them, or those of `keys` that are known."""
        columns = "SELECT key, label, family, macs, read_bytes, write_bytes, weight_bytes, payload, dtype FROM kernels"
        rows = self._select(f"{columns} WHERE exporter = ?", (exporter,), "key", keys)
        return {row[0]: Kernel(*row) for row in rows}

    def start_session(self, condition: int) -> int:
        """A new session of measuring under one condition; its number."""
        cursor = self._db.execute(
            "INSERT INTO sessions (condition, started_at) VALUES (?, ?)", (condition, time.time())
        )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def add_anchor(self, session: int, kernel: str, value: float) -> None:
        """One timing of the anchor kernel."""
        self._db.execute("INSERT INTO anchors VALUES (?, ?, ?, ?)", (session, time.time(), kernel, value))

    def anchors(self, condition: int) -> tuple[str, list[float]] | None:
        """The condition's anchor kernel and every time it took, oldest first; None before the first session."""
        rows = self._db.execute(
            "SELECT kernel, value FROM anchors JOIN sessions ON sessions.id = session WHERE condition = ? ORDER BY at",
            (condition,),
        ).fetchall()
        return (str(rows[0][0]), [float(row[1]) for row in rows if row[0] == rows[0][0]]) if rows else None

    def anchor(self, condition: int, exporter: str) -> tuple[Kernel, float] | None:
        """The condition's anchor kernel and the first time it took, whoever timed it."""
        known = self.anchors(condition)
        return (self.kernels(exporter, [known[0]])[known[0]], known[1][0]) if known else None

    def add_times(self, condition: int, session: int, times: Iterable[KernelTime]) -> None:
        """Store rows. A kernel measured again under the same condition keeps one row, the mean of all its times.

        The mean is weighted by precision, two measurements differing by `BETWEEN_NOISE` however precise each is.
        """
        times = list(times)
        with self.transaction():
            old = self.times(condition, (t.kernel for t in times))
            for t in times:
                old[t.kernel] = _merged(old[t.kernel], t) if t.kernel in old else t
            self.replace_times(condition, session, [old[key] for key in dict.fromkeys(t.kernel for t in times)])

    def replace_times(self, condition: int, session: int, times: Iterable[KernelTime]) -> None:
        """Store rows in place of what was known of their kernels."""
        rows = [(condition, *astuple(t), session) for t in times]
        with self.transaction():
            self._db.executemany("INSERT OR REPLACE INTO measurements VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    def times(self, condition: int, keys: Iterable[str] | None = None) -> dict[str, KernelTime]:
        """Rows of one condition by kernel key: all, or those of `keys` that were measured."""
        columns = "SELECT kernel, value, variance, samples, drift FROM measurements"
        rows = self._select(f"{columns} WHERE condition = ?", (condition,), "kernel", keys)
        return {row[0]: KernelTime(*row) for row in rows}

    def values(self, condition: int) -> dict[str, float]:
        """Times alone of every row of one condition: what a prediction needs, without an object per row."""
        query = "SELECT kernel, value FROM measurements WHERE condition = ?"
        return dict(self._db.execute(query, (condition,)))

    def forget(self, condition: int, kernels: Iterable[str], graphs: Iterable[str]) -> None:
        """Take out rows of kernels, by key, and of graphs, by digest: what measured them turned out to be wrong."""
        with self.transaction():
            where = "WHERE condition = ? AND"
            self._db.executemany(f"DELETE FROM measurements {where} kernel = ?", [(condition, k) for k in kernels])
            self._db.executemany(f"DELETE FROM graphs {where} digest = ?", [(condition, g) for g in graphs])

    def forget_anchors(self, session: int) -> None:
        """Take out what the anchor took in one session."""
        self._db.execute("DELETE FROM anchors WHERE session = ?", (session,))

    def add_lowered(self, exporter: str, version: str, target: str, units: Mapping[str, Sequence[Kernel]]) -> None:
        """Remember which kernels units become, and the kernels themselves."""
        rows = [
            (exporter, version, target, unit, json.dumps([k.key for k in kernels])) for unit, kernels in units.items()
        ]
        with self.transaction():
            self.add_kernels(exporter, (kernel for kernels in units.values() for kernel in kernels))
            self._db.executemany("INSERT OR REPLACE INTO lowered VALUES (?, ?, ?, ?, ?)", rows)

    def lowered(self, exporter: str, version: str, target: str, units: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """Kernel keys, in call order, of those of `units` that were lowered before."""
        where = "SELECT unit, kernels FROM lowered WHERE exporter = ? AND version = ? AND target = ?"
        rows = self._select(where, (exporter, version, target), "unit", units)
        return {row[0]: tuple(json.loads(row[1])) for row in rows}

    def add_graph(self, condition: int, graph: GraphTime) -> None:
        """Store a whole graph's time; the same graph again replaces its old row."""
        row = (condition, *asdict(graph).values())
        self._db.execute("INSERT OR REPLACE INTO graphs VALUES (?, ?, ?, ?, ?, ?)", row)

    def graphs(self, condition: int) -> list[GraphTime]:
        """Whole graphs timed under one condition."""
        rows = self._db.execute(
            "SELECT digest, kernels, kernel_sum, total, variance FROM graphs WHERE condition = ? ORDER BY digest",
            (condition,),
        )
        return [GraphTime(*row) for row in rows]

    def replace_hop(self, conditions: HopConditions, times: Iterable[HopTime]) -> None:
        """Store what a runtime adds, one row per payload, in place of what was known of it."""
        key, at = astuple(conditions), time.time()
        with self.transaction():
            where = " AND ".join(f"{name} = ?" for name in asdict(conditions))
            self._db.execute(f"DELETE FROM hops WHERE {where}", key)
            self._db.executemany(
                "INSERT INTO hops VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", [(*key, *astuple(t), at) for t in times]
            )

    def last_hop(
        self, sensor: str, aggregator: str, views: int, link: str
    ) -> tuple[HopConditions, list[HopTime]] | None:
        """What was measured last between two devices over a link, by rising payload; None if nothing ever was."""
        where = "FROM hops WHERE sensor = ? AND aggregator = ? AND views = ? AND link = ?"
        key = (sensor, aggregator, views, link)
        last = self._db.execute(f"SELECT runtime, placement {where} ORDER BY at DESC", key).fetchone()
        if last is None:
            return None
        conditions = HopConditions(*key, *last)
        rows = self._db.execute(
            f"SELECT payload_bytes, link_us, aggregator_us {where} AND runtime = ? AND placement = ?"
            " ORDER BY payload_bytes",
            astuple(conditions),
        )
        return conditions, [HopTime(*row) for row in rows]

    def backup(self, path: Path | str) -> None:
        """Copy the whole table to a new file, consistent even while another process writes; what was there goes.

        Raises:
            StorageError: there is no room for it, or it cannot be there.
        """
        for end in ("", "-wal", "-shm"):
            Path(f"{path}{end}").unlink(missing_ok=True)
        try:
            with closing(sqlite3.connect(path)) as copy:
                self._db.backup(copy)
        except sqlite3.DatabaseError as error:
            raise _failure(Path(path), error) from error

    def _select(
        self, query: str, values: tuple[object, ...], column: str, keys: Iterable[str] | None
    ) -> Iterator[tuple[Any, ...]]:
        """Rows of a query with a WHERE clause, `column` restricted to `keys` in pieces SQLite can bind."""
        if keys is None:
            yield from self._db.execute(query, values)
            return
        wanted = list(dict.fromkeys(keys))
        for i in range(0, len(wanted), VARIABLES_PER_QUERY):
            some = wanted[i : i + VARIABLES_PER_QUERY]
            marks = ", ".join("?" * len(some))
            yield from self._db.execute(f"{query} AND {column} IN ({marks})", (*values, *some))


def _failure(path: Path, error: sqlite3.DatabaseError) -> SplitkitError:
    """What SQLite refused, in words that say what would help."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the rest tells kinds of the same apart
    if code in _UNAVAILABLE:
        why, hint = _UNAVAILABLE[code]
        return StorageError(f"{path}: {why}", hint)
    return ConfigError(f"{path}: not a lookup table, or damaged: {error}", "move it away and measure again")


def _merged(a: KernelTime, b: KernelTime) -> KernelTime:
    wa, wb = (_precision(t) for t in (a, b))
    # Weighted from one of them: two equal values must give exactly that value, which counted rows rely on.
    value = a.value + wb * (b.value - a.value) / (wa + wb)
    return KernelTime(a.kernel, value, 1 / (wa + wb), a.samples + b.samples, (a.drift + b.drift) / 2)


def _precision(t: KernelTime) -> float:
    return 1 / max(t.variance + (BETWEEN_NOISE * t.value) ** 2, 1e-12)
