-- What a second store is still to be told (store/journal/outbox.rs): the keys of what one commit wrote,
-- appended in the same transaction. kind: 0 readings, 1 curves, 2 a gas day that is to be read whole.
CREATE TABLE outbox (
    id    INTEGER PRIMARY KEY AUTOINCREMENT,
    kind  INTEGER NOT NULL,
    count INTEGER NOT NULL,
    keys  BLOB    NOT NULL
);

-- What the second store refused, with its reason.
CREATE TABLE outbox_refused (
    id     INTEGER PRIMARY KEY,
    at     INTEGER NOT NULL,
    line   TEXT    NOT NULL UNIQUE,
    reason TEXT    NOT NULL
);
