-- Gas days before this one have lost readings of the meter (store/journal/retention.rs): what is computed
-- of them stays as it is.
CREATE TABLE closed (
    meter      INTEGER PRIMARY KEY,
    before_day INTEGER NOT NULL
);
