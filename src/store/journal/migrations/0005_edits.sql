-- Decisions of people about hours of a curve, append-only; hours: JSON, volume by hour of the gas day.
CREATE TABLE edits (
    id     INTEGER PRIMARY KEY AUTOINCREMENT,
    meter  INTEGER NOT NULL,
    day    INTEGER NOT NULL,
    hours  TEXT    NOT NULL,
    who    TEXT    NOT NULL,
    reason TEXT    NOT NULL,
    at     INTEGER NOT NULL
);
CREATE INDEX edits_by_day ON edits (day, meter);

CREATE TABLE edit_revocations (
    edit   INTEGER PRIMARY KEY,
    who    TEXT    NOT NULL,
    reason TEXT    NOT NULL,
    at     INTEGER NOT NULL
);

-- The ladder estimates what was filled from one like day before: demand is summed again.
INSERT INTO stale_demand SELECT DISTINCT day, 0 FROM curves WHERE true ON CONFLICT DO NOTHING;
