-- Times are milliseconds since 1970 UTC, days are days since 1970-01-01.

CREATE TABLE weather (
    id           INTEGER PRIMARY KEY,
    station      TEXT    NOT NULL,
    kind         TEXT    NOT NULL,
    issued_at    INTEGER NOT NULL,
    available_at INTEGER NOT NULL,
    digest       BLOB    NOT NULL,
    points       BLOB    NOT NULL,
    UNIQUE (station, kind, issued_at, available_at, digest)
);
CREATE INDEX weather_by_availability ON weather (station, kind, available_at, issued_at);

-- Observed hours one by one, so that a range is a range; the earliest vintage that gave an hour a
-- value and every later correction stay apart by available_at.
CREATE TABLE observed (
    station       TEXT    NOT NULL,
    at            INTEGER NOT NULL,
    available_at  INTEGER NOT NULL,
    temperature_c REAL    NOT NULL,
    PRIMARY KEY (station, at, available_at)
) WITHOUT ROWID;

CREATE TABLE demand (
    day      INTEGER NOT NULL,
    zone     TEXT    NOT NULL,
    class    TEXT    NOT NULL,
    hours    BLOB    NOT NULL,
    coverage REAL    NOT NULL,
    PRIMARY KEY (day, zone, class)
) WITHOUT ROWID;

CREATE TABLE forecast_runs (
    id         TEXT PRIMARY KEY,
    origin_at  INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    first_day  INTEGER NOT NULL,
    days       INTEGER NOT NULL,
    registry   TEXT    NOT NULL,
    body       BLOB    NOT NULL
);
CREATE INDEX forecast_runs_by_time ON forecast_runs (origin_at, created_at);

CREATE TABLE documents (
    kind    TEXT    NOT NULL,
    key     TEXT    NOT NULL,
    version INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    who     TEXT    NOT NULL,
    reason  TEXT    NOT NULL,
    body    TEXT    NOT NULL,
    PRIMARY KEY (kind, key, version)
) WITHOUT ROWID;
CREATE INDEX documents_by_time ON documents (kind, at);

CREATE TABLE filed_plans (
    customer     TEXT    NOT NULL,
    day          INTEGER NOT NULL,
    available_at INTEGER NOT NULL,
    units        INTEGER NOT NULL,
    PRIMARY KEY (customer, day, available_at)
) WITHOUT ROWID;

CREATE TABLE production_changes (
    digest       BLOB PRIMARY KEY,
    available_at INTEGER NOT NULL,
    body         TEXT    NOT NULL
) WITHOUT ROWID;

CREATE TABLE registry_versions (
    id        INTEGER PRIMARY KEY,
    version   TEXT    NOT NULL,
    loaded_at INTEGER NOT NULL
);

-- hash = SHA-256(previous hash, then each field with its length before it); see book/audit.rs.
CREATE TABLE audit (
    seq      INTEGER PRIMARY KEY,
    at       INTEGER NOT NULL,
    who      TEXT    NOT NULL,
    action   TEXT    NOT NULL,
    subject  TEXT    NOT NULL,
    reason   TEXT    NOT NULL,
    digest   BLOB    NOT NULL,
    previous BLOB    NOT NULL,
    hash     BLOB    NOT NULL
);
