-- A plan can be taken back, which is a row without units, and names the entry it came with: the key of a
-- document of the kind `filed_plans`.
CREATE TABLE filed_plans_0007 (
    customer     TEXT    NOT NULL,
    day          INTEGER NOT NULL,
    available_at INTEGER NOT NULL,
    units        INTEGER,
    entry        TEXT,
    PRIMARY KEY (customer, day, available_at)
) WITHOUT ROWID;
INSERT INTO filed_plans_0007 SELECT customer, day, available_at, units, NULL FROM filed_plans;
DROP TABLE filed_plans;
ALTER TABLE filed_plans_0007 RENAME TO filed_plans;
