-- A finding is kept as the key of its rule's sentence and the values in it, and is put into words when it
-- is shown. Earlier ones keep their English text in message; of later ones that is empty.
ALTER TABLE findings ADD COLUMN sentence TEXT;
ALTER TABLE findings ADD COLUMN args TEXT;

-- Findings of what is no meter. kind: 1 a zone, 2 a customer.
CREATE TABLE subject_findings (
    day      INTEGER NOT NULL,
    rule     TEXT    NOT NULL,
    kind     INTEGER NOT NULL,
    subject  TEXT    NOT NULL,
    at       INTEGER NOT NULL,
    severity INTEGER NOT NULL,
    sentence TEXT    NOT NULL,
    args     TEXT    NOT NULL,
    PRIMARY KEY (day, rule, kind, subject)
) WITHOUT ROWID;
