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
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Any, Literal, Self

from splitkit.compiler.kernel import Kernel
from splitkit.devices.protocol import Unit
from splitkit.errors import ConfigError

SCHEMA_VERSION = 3
BUSY_TIMEOUT_S = 60.0
VARIABLES_PER_QUERY = 500

BETWEEN_NOISE = 0.02
"""Relative standard deviation between two measurements of one kernel, taken in different places."""

CacheMode = Literal["rotation", "resident", "in_situ", "in_situ_8", "in_situ_32"]
"""Kernels timed alone, one after the other, or where they stand in networks of different sizes (`residency`)."""
"""How a kernel met the caches: in a library run in rotation; where it stands in a network; where it stands in one that
stays in the core's own cache from run to run."""

_SCHEMA = """
CREATE TABLE conditions (
    id INTEGER PRIMARY KEY,
    fingerprint TEXT NOT NULL,  -- hardware, threads, pinning
    exporter TEXT NOT NULL,
    version TEXT NOT NULL,      -- of the exporter's generated code
    target TEXT NOT NULL,       -- CompileTarget.key()
    cache_mode TEXT NOT NULL,
    unit TEXT NOT NULL DEFAULT 'us',  -- of every row under it: us or instructions
    UNIQUE (fingerprint, exporter, version, target, cache_mode)
);
CREATE TABLE kernels (
    exporter TEXT NOT NULL,
    key TEXT NOT NULL,
    label TEXT NOT NULL,
    family TEXT NOT NULL,
    macs INTEGER NOT NULL,
    read_bytes INTEGER NOT NULL,
    write_bytes INTEGER NOT NULL,
    weight_bytes INTEGER NOT NULL,
    payload TEXT NOT NULL,
    PRIMARY KEY (exporter, key)
) WITHOUT ROWID;
CREATE TABLE sessions (
    id INTEGER PRIMARY KEY,
    condition INTEGER NOT NULL REFERENCES conditions (id),
    started_at REAL NOT NULL    -- seconds since 1970
);
CREATE TABLE anchors (          -- one fixed kernel, timed now and then: the clock's drift
    session INTEGER NOT NULL REFERENCES sessions (id),
    at REAL NOT NULL,
    kernel TEXT NOT NULL,
    value REAL NOT NULL
);
CREATE TABLE measurements (
    condition INTEGER NOT NULL REFERENCES conditions (id),
    kernel TEXT NOT NULL,
    value REAL NOT NULL,        -- undisturbed (devices/timing.py)
    variance REAL NOT NULL,     -- of the value
    samples INTEGER NOT NULL,
    drift REAL NOT NULL,        -- the anchor's time around the measurement / its first time
    session INTEGER NOT NULL REFERENCES sessions (id),
    PRIMARY KEY (condition, kernel)
) WITHOUT ROWID;
CREATE TABLE lowered (          -- which kernels a unit in context, or a whole graph, becomes
    exporter TEXT NOT NULL,
    version TEXT NOT NULL,
    target TEXT NOT NULL,
    unit TEXT NOT NULL,
    kernels TEXT NOT NULL,      -- JSON list of keys, in call order
    PRIMARY KEY (exporter, version, target, unit)
) WITHOUT ROWID;
CREATE TABLE graphs (           -- whole graphs timed end to end: what their kernels do not account for
    condition INTEGER NOT NULL REFERENCES conditions (id),
    digest TEXT NOT NULL,
    kernels INTEGER NOT NULL,
    kernel_sum REAL NOT NULL,   -- of its kernels where they stand
    total REAL NOT NULL,
    variance REAL NOT NULL,     -- of the total
    PRIMARY KEY (condition, digest)
) WITHOUT ROWID;
CREATE TABLE observations (     -- measured candidates of a search, for corrections and replay
    system TEXT NOT NULL,
    architecture TEXT NOT NULL,
    at REAL NOT NULL,
    body TEXT NOT NULL,         -- Measurement.to_json()
    PRIMARY KEY (system, architecture)
) WITHOUT ROWID;
"""

_MIGRATIONS = {
    1: """
ALTER TABLE conditions ADD COLUMN unit TEXT NOT NULL DEFAULT 'us';
ALTER TABLE anchors RENAME COLUMN us TO value;
ALTER TABLE measurements RENAME COLUMN us TO value;
ALTER TABLE graphs RENAME COLUMN kernel_us TO kernel_sum;
ALTER TABLE graphs RENAME COLUMN total_us TO total;
""",
    2: "UPDATE conditions SET version = version || ', medians' WHERE unit = 'us'",  # not to be compared with new rows
}
"""From each older schema version to the next."""


@dataclass(frozen=True)
class Conditions:
    """What a time depends on besides the kernel. Equal conditions, comparable rows.

    `target` is `CompileTarget.key()`, which holds the number of threads. `unit` is what the rows are counted in.
    """

    fingerprint: str
    exporter: str
    version: str
    target: str
    cache_mode: CacheMode = "rotation"
    unit: Unit = "us"


@dataclass(frozen=True)
class KernelTime:
    """One row of the table, in its condition's unit: the undisturbed time, its variance, and how it was got."""

    kernel: str
    value: float
    variance: float
    samples: int
    drift: float = 1.0


@dataclass(frozen=True)
class GraphTime:
    """A whole graph, in its condition's unit: the sum of its kernels where they stand, and end to end."""

    digest: str
    kernels: int
    kernel_sum: float
    total: float
    variance: float


class LutStore:
    """One lookup table file; made if missing. Use from one thread; any number of processes may share the file.

    Raises:
        ConfigError: the file is not a lookup table, or one of another schema version.
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
        except (OSError, sqlite3.DatabaseError) as error:
            raise ConfigError(f"{self.path}: not a lookup table: {error}") from error

    def _create(self) -> None:
        with self.transaction():
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            if version == 0 and not self._db.execute("SELECT 1 FROM sqlite_master").fetchone():
                self._become(SCHEMA_VERSION, _SCHEMA)
            elif version in _MIGRATIONS:
                for older in range(version, SCHEMA_VERSION):
                    self._become(older + 1, _MIGRATIONS[older])
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
        if isinstance(error, sqlite3.DatabaseError):  # damaged, or no room on the disk
            raise ConfigError(f"{self.path}: {error}", "free the disk, or measure into a new file") from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything written inside is kept, or nothing. Nested use joins the outer transaction."""
        if self._db.in_transaction:
            yield
            return
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

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
            self._db.executemany("INSERT OR IGNORE INTO kernels VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)

    def kernels(self, exporter: str, keys: Iterable[str] | None = None) -> dict[str, Kernel]:
        """Known kernels of an exporter by key: all of them, or those of `keys` that are known."""
        columns = "SELECT key, label, family, macs, read_bytes, write_bytes, weight_bytes, payload FROM kernels"
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

    def add_observation(self, system: str, architecture: str, body: Mapping[str, Any]) -> None:
        """Store a measured candidate of a search; measured again, it replaces its old row."""
        row = (system, architecture, time.time(), json.dumps(body))
        self._db.execute("INSERT OR REPLACE INTO observations VALUES (?, ?, ?, ?)", row)

    def observations(self, system: str) -> dict[str, dict[str, Any]]:
        """Measured candidates of a system, oldest first, by architecture digest."""
        rows = self._db.execute("SELECT architecture, body FROM observations WHERE system = ? ORDER BY at", (system,))
        return {row[0]: json.loads(row[1]) for row in rows}

    def backup(self, path: Path | str) -> None:
        """Copy the whole table to a new file, consistent even while another process writes."""
        with closing(sqlite3.connect(path)) as copy:
            self._db.backup(copy)

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


def _merged(a: KernelTime, b: KernelTime) -> KernelTime:
    wa, wb = (_precision(t) for t in (a, b))
    # Weighted from one of them: two equal values must give exactly that value, which counted rows rely on.
    value = a.value + wb * (b.value - a.value) / (wa + wb)
    return KernelTime(a.kernel, value, 1 / (wa + wb), a.samples + b.samples, (a.drift + b.drift) / 2)


def _precision(t: KernelTime) -> float:
    return 1 / max(t.variance + (BETWEEN_NOISE * t.value) ** 2, 1e-12)
