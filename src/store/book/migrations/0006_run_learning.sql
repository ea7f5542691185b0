-- Which regressions a run learnt and which it had from earlier runs, beside it: names of series by
-- the run that learnt them, JSON. Runs of earlier programs have none.
CREATE TABLE run_learning (
    run  TEXT PRIMARY KEY,
    body TEXT NOT NULL
) WITHOUT ROWID;
