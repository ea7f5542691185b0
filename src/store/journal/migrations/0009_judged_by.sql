-- What a meter (kind 0), zone (1) or customer (2) was last judged by, beside its curves: steps of a gas day
-- and a digest, 12 bytes each.
CREATE TABLE judged_by (
    kind    INTEGER NOT NULL,
    subject TEXT    NOT NULL,
    steps   BLOB    NOT NULL,
    PRIMARY KEY (kind, subject)
) WITHOUT ROWID;

-- Gas days [from_day, to_day) of meters to be judged again although no curve of theirs changed.
CREATE TABLE to_judge (
    meter    INTEGER NOT NULL,
    from_day INTEGER NOT NULL,
    to_day   INTEGER NOT NULL,
    PRIMARY KEY (meter, from_day)
) WITHOUT ROWID;
