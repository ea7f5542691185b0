-- What a forecast run was made from, by content: equal parts of different runs are kept once.
CREATE TABLE inputs (
    digest BLOB PRIMARY KEY,
    body   BLOB NOT NULL
) WITHOUT ROWID;

CREATE TABLE run_inputs (
    run    TEXT NOT NULL,
    part   TEXT NOT NULL,
    digest BLOB NOT NULL,
    PRIMARY KEY (run, part)
) WITHOUT ROWID;
CREATE INDEX run_inputs_by_digest ON run_inputs (digest);
