-- What a run consists of (parts, large consumers), beside it: runs of earlier programs have none.
CREATE TABLE run_breakdowns (
    run  TEXT PRIMARY KEY,
    body BLOB NOT NULL
) WITHOUT ROWID;

-- What was expected of a gas day at the gate so many days before it, and what came. The total is
-- zone '' and class ''. `unaided` is P50 without named factors, where one was in force.
CREATE TABLE expectations (
    day     INTEGER NOT NULL,
    lead    INTEGER NOT NULL,
    zone    TEXT    NOT NULL,
    class   TEXT    NOT NULL,
    run     TEXT    NOT NULL,
    p10     REAL    NOT NULL,
    p50     REAL    NOT NULL,
    p90     REAL    NOT NULL,
    unaided REAL,
    actual  REAL,
    PRIMARY KEY (lead, zone, class, day)
) WITHOUT ROWID;
