-- In about four of five days the truth lies within so much, m³.
ALTER TABLE demand ADD COLUMN uncertainty REAL NOT NULL DEFAULT 0;

-- What a document was made from and is no longer so: the demand of a node on a gas day, as it was when
-- the document was written and as it is. cause: readings, decision, registry.
CREATE TABLE restatements (
    day       INTEGER NOT NULL,
    zone      TEXT    NOT NULL,
    class     TEXT    NOT NULL,
    kind      TEXT    NOT NULL,
    key       TEXT    NOT NULL,
    version   INTEGER NOT NULL,
    before_m3 REAL    NOT NULL,
    after_m3  REAL    NOT NULL,
    at        INTEGER NOT NULL,
    cause     TEXT    NOT NULL,
    PRIMARY KEY (day, zone, class, kind, key, version)
) WITHOUT ROWID;
CREATE INDEX restatements_by_time ON restatements (at);
