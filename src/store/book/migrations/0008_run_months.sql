-- The months a run was continued by, encoded as the run is. Only the first run of a gas day has them; runs of
-- earlier programs have none.
CREATE TABLE run_months (
    run  TEXT PRIMARY KEY,
    body BLOB NOT NULL
) WITHOUT ROWID;
