-- What the run of an expectation would have said without one named factor, P50 in m³. Runs of earlier programs have
-- none.
CREATE TABLE expectations_without (
    factor TEXT    NOT NULL,
    day    INTEGER NOT NULL,
    lead   INTEGER NOT NULL,
    zone   TEXT    NOT NULL,
    class  TEXT    NOT NULL,
    p50    REAL    NOT NULL,
    PRIMARY KEY (factor, lead, zone, class, day)
) WITHOUT ROWID;
