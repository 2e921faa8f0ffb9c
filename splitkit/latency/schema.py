"""The latency table as SQL: its tables, and how older files become it."""

SCHEMA_VERSION = 5

_HOPS = """
CREATE TABLE hops (             -- what the runtime adds to a frame between two halves that run on one machine
    sensor TEXT NOT NULL,       -- fingerprints
    aggregator TEXT NOT NULL,
    views INTEGER NOT NULL,
    link TEXT NOT NULL,         -- how long one waits for what is sent
    runtime TEXT NOT NULL,      -- implementation and version
    placement TEXT NOT NULL,    -- of its processes on processors, and how they wait
    payload_bytes INTEGER NOT NULL,
    link_us REAL NOT NULL,      -- beyond the link profile's own time
    aggregator_us REAL NOT NULL,
    at REAL NOT NULL,           -- seconds since 1970
    PRIMARY KEY (sensor, aggregator, views, link, runtime, placement, payload_bytes)
) WITHOUT ROWID;
"""

SCHEMA = f"""
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
    dtype TEXT NOT NULL DEFAULT 'float32',  -- of what it writes
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
{_HOPS}"""

_DTYPES = """
DROP TABLE observations;
ALTER TABLE kernels ADD COLUMN dtype TEXT NOT NULL DEFAULT 'float32';
UPDATE kernels SET dtype = coalesce(json_extract(payload, '$.dtypes[#-1]'), json_extract(payload, '$.dtype'), dtype)
    WHERE json_valid(payload) AND coalesce(json_extract(payload, '$.kind'), '') <> 'resize'
"""

MIGRATIONS = {
    1: """
ALTER TABLE conditions ADD COLUMN unit TEXT NOT NULL DEFAULT 'us';
ALTER TABLE anchors RENAME COLUMN us TO value;
ALTER TABLE measurements RENAME COLUMN us TO value;
ALTER TABLE graphs RENAME COLUMN kernel_us TO kernel_sum;
ALTER TABLE graphs RENAME COLUMN total_us TO total;
""",
    2: "UPDATE conditions SET version = version || ', medians' WHERE unit = 'us'",  # not to be compared with new rows
    3: _HOPS,
    4: _DTYPES,
}
"""From each older schema version to the next."""
