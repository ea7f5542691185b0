-- Times are milliseconds since 1970 UTC, days are days since 1970-01-01 named by the gas day's
-- start, volumes are units of 1e-4 m³. Bodies are described in store/journal/body.rs.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

-- Numbers keep the keys of everything below short.
CREATE TABLE meters (
    no INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE
);

-- One uplink is one row, arrays of frozen totals included.
CREATE TABLE readings (
    day         INTEGER NOT NULL,
    meter       INTEGER NOT NULL,
    at          INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    body        BLOB    NOT NULL,
    PRIMARY KEY (day, meter, at)
) WITHOUT ROWID;

-- Gas days of which a meter has totals, one bit for each of the 32 days of a block (day / 32):
-- singly, in arrays on rows of the same day, in arrays on rows of the next day (an array reported
-- today speaks of yesterday), in arrays on rows further off. Blocks come first in the key, so that
-- a day's burst of all meters touches few pages.
CREATE TABLE presence (
    block   INTEGER NOT NULL,
    meter   INTEGER NOT NULL,
    singles INTEGER NOT NULL,
    today   INTEGER NOT NULL,
    next    INTEGER NOT NULL,
    far     INTEGER NOT NULL,
    PRIMARY KEY (block, meter)
) WITHOUT ROWID;

-- Under which days the rows stand that `far` speaks of.
CREATE TABLE presence_far (
    meter   INTEGER NOT NULL,
    day     INTEGER NOT NULL,
    row_day INTEGER NOT NULL,
    PRIMARY KEY (meter, day, row_day)
) WITHOUT ROWID;

CREATE TABLE latest (
    meter       INTEGER PRIMARY KEY,
    day         INTEGER NOT NULL,
    at          INTEGER NOT NULL,
    received_at INTEGER NOT NULL
);

-- Every distinct value ever reported for a part of a reading that was reported differently.
CREATE TABLE conflicts (
    meter     INTEGER NOT NULL,
    at        INTEGER NOT NULL,
    part      BLOB    NOT NULL,
    value     BLOB    NOT NULL,
    transport INTEGER NOT NULL,
    PRIMARY KEY (meter, at, part, value)
) WITHOUT ROWID;

CREATE TABLE rejects (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    digest      BLOB    NOT NULL UNIQUE,
    transport   TEXT    NOT NULL,
    origin      TEXT    NOT NULL,
    device      TEXT,
    meter       TEXT,
    bytes       BLOB    NOT NULL,
    code        TEXT    NOT NULL,
    message     TEXT    NOT NULL,
    first_at    INTEGER NOT NULL,
    last_at     INTEGER NOT NULL,
    times       INTEGER NOT NULL,
    replayed_at INTEGER
);
CREATE INDEX rejects_by_time ON rejects (last_at);

-- origin: 0 found when the reading came in, 1 found in the sequence when the curve was computed.
CREATE TABLE findings (
    day      INTEGER NOT NULL,
    meter    INTEGER NOT NULL,
    origin   INTEGER NOT NULL,
    at       INTEGER NOT NULL,
    rule     TEXT    NOT NULL,
    part     BLOB    NOT NULL,
    severity INTEGER NOT NULL,
    message  TEXT    NOT NULL,
    PRIMARY KEY (day, meter, origin, at, rule, part)
) WITHOUT ROWID;

-- Curves to compute again. The mark grows with every commit, so that a curve computed before a
-- later reading does not clear what that reading marked.
CREATE TABLE dirty (
    day   INTEGER NOT NULL,
    meter INTEGER NOT NULL,
    mark  INTEGER NOT NULL,
    PRIMARY KEY (day, meter)
) WITHOUT ROWID;

-- What each meter's curves were computed by: its entry in the registry, as a digest.
CREATE TABLE curve_rules (
    meter  INTEGER PRIMARY KEY,
    digest BLOB NOT NULL
);

CREATE TABLE curves (
    day         INTEGER NOT NULL,
    meter       INTEGER NOT NULL,
    version     INTEGER NOT NULL,
    computed_at INTEGER NOT NULL,
    body        BLOB    NOT NULL,
    PRIMARY KEY (day, meter)
) WITHOUT ROWID;

-- Gas days whose demand has to be summed again because a curve of theirs changed.
CREATE TABLE stale_demand (
    day  INTEGER PRIMARY KEY,
    mark INTEGER NOT NULL
);

CREATE TABLE counters (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;
